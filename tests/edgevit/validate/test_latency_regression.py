"""The interval of a ratio from blocks: against least squares of numpy, and on simulated machines that are busy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from edgevit.core.results.report import Ratio
from edgevit.validate.latency_regression import LOOKS, Block, judge, ratio_of_blocks


def block(log_ratio: float, new_first: bool) -> Block:
    return Block((2.0, 3.0, 4.0), tuple(t * math.exp(log_ratio) for t in (2.0, 3.0, 4.0)), new_first)


def test_a_block_counts_by_the_median_of_its_rounds() -> None:
    # The rounds have ratios 1.1, 1.2 and, where another process came in between, 9.
    assert Block((1.0, 2.0, 1.0), (1.1, 2.4, 9.0), False).log_ratio == pytest.approx(math.log(1.2))


@pytest.mark.parametrize("orders", ["NOONNO", "ONO", "OONOOOON"])
def test_the_interval_is_that_of_least_squares_with_an_effect_of_the_order(orders: str) -> None:
    rng = np.random.default_rng(len(orders))
    first = np.array([letter == "N" for letter in orders])
    values = 0.1 + 0.03 * np.where(first, 1, -1) + rng.normal(0, 0.02, len(first))
    found = ratio_of_blocks([block(float(v), bool(f)) for v, f in zip(values, first, strict=True)])

    design = np.stack([np.ones(len(first)), np.where(first, 1.0, -1.0)], axis=1)
    (theta, _), (squares,), _, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(first) - 2
    error = math.sqrt(squares / freedom * np.linalg.inv(design.T @ design)[0, 0])
    half = stats.t.ppf(1 - 0.025 / len(LOOKS), freedom) * error
    assert found.value == pytest.approx(math.exp(theta))
    assert found.ci95 == pytest.approx((math.exp(theta - half), math.exp(theta + half)))


def test_which_file_is_opened_first_does_not_widen_the_interval() -> None:
    blocks = [block(0.14 + (0.05 if new_first else -0.05), new_first) for new_first in (True, False) * 3]
    assert ratio_of_blocks(blocks).ci95 == pytest.approx((math.exp(0.14),) * 2)


@pytest.mark.parametrize(
    ("interval", "limit", "outcome"),
    [
        ((0.9, 1.1), 10.0, "pass"),
        ((1.11, 1.2), 10.0, "regressed"),
        ((1.09, 1.11), 10.0, "inconclusive"),
        ((1.1, 1.2), 10.0, "inconclusive"),
        ((0.7, 0.8), -20.0, "pass"),
        ((0.9, 0.95), -20.0, "regressed"),
    ],
)
def test_outcomes(interval: tuple[float, float], limit: float, outcome: str) -> None:
    assert judge(Ratio(sum(interval) / 2, interval), limit) == outcome


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [block(0.0, True), block(0.0, False)],
        [block(0.0, True)] * 6,
        [Block((1.0,), (1.0, 2.0), True), block(0, True), block(0, False)],
        [Block((), (), True), block(0, True), block(0, False)],
        [Block((0.0,), (1.0,), True), block(0, True), block(0, False)],
        [Block((math.nan,), (1.0,), True), block(0, True), block(0, False)],
    ],
)
def test_what_has_no_interval_is_an_error(blocks: list[Block]) -> None:
    with pytest.raises(ValueError, match=r"blocks|runs|positive"):
        ratio_of_blocks(blocks)


def test_a_limit_that_no_file_keeps_is_an_error() -> None:
    with pytest.raises(ValueError, match="allows no time"):
        judge(Ratio(1.0, (1.0, 1.0)), -100.0)
