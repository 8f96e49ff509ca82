from __future__ import annotations

import numpy as np
import pytest

from edgevit.core.plugins import Timing
from edgevit.validate.latency import ratio_of_medians, summarize


def test_median_and_p90_of_a_known_series() -> None:
    # 1..31: the median is the 16th, the 90th percentile the 28th value.
    latency = summarize(Timing(tuple(float(i) for i in range(31, 0, -1)), 7.0, 2))
    assert (latency.p50_ms, latency.p90_ms, latency.runs) == (16.0, 28.0, 31)
    assert (latency.cold_load_ms, latency.threads) == (7.0, 2)


def test_p90_needs_29_runs() -> None:
    assert summarize(Timing((1.0,) * 28, 1.0, 1)).p90_ms is None
    assert summarize(Timing((1.0,) * 29, 1.0, 1)).p90_ms == 1.0
    # 28 runs all stay below the 90th percentile with a probability above 5 %, 29 below.
    assert 0.9**28 > 0.05 > 0.9**29


def test_no_runs_are_an_error() -> None:
    with pytest.raises(ValueError, match="no runs"):
        summarize(Timing((), 1.0, 1))


def test_the_ratio_is_that_of_the_medians_and_seeded() -> None:
    rng = np.random.default_rng(1)
    base = rng.lognormal(0.0, 0.1, 60)
    ratio = ratio_of_medians(list(base * 0.5), list(base), seed=3)
    assert ratio.value == pytest.approx(0.5)
    assert ratio.ci95 == pytest.approx((0.5, 0.5))
    assert ratio_of_medians(list(base * 0.5), list(base), seed=3) == ratio


def test_a_slow_phase_that_meets_both_does_not_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    phase = np.where(np.arange(80) < 40, 1.0, 3.0)
    first, second = (phase * rng.normal(1.0, 0.02, 80) for _ in range(2))
    paired = ratio_of_medians(list(first), list(second))
    assert 0.8 < paired.ci95[0] <= paired.value <= paired.ci95[1] < 1.25


def test_the_interval_covers_the_true_ratio_about_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(100):
        first, second = rng.lognormal(0.2, 0.1, 40), rng.lognormal(0.0, 0.1, 40)
        low, high = ratio_of_medians(list(first), list(second)).ci95
        hits += low <= float(np.exp(0.2)) <= high
    assert hits >= 88


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [np.nan])]
)
def test_a_ratio_of_nothing_is_an_error(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"interleaved|positive"):
        ratio_of_medians(first, second)
