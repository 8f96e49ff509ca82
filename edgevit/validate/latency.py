"""What a series of inference times says, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgevit.core.plugins import Timing
from edgevit.core.results.report import Latency, Ratio

# 1 - 0.9^n reaches 0.95 at n = 29: with fewer runs not even the slowest of them bounds the 90th
# percentile with 95 % confidence.
RUNS_FOR_P90: Final = 29
_RESAMPLES: Final = 4000


def summarize(timing: Timing, ratio: Ratio | None = None) -> Latency:
    """Median and 90th percentile (linear interpolation between runs) of one file.

    Raises:
        ValueError: there are no runs.
    """
    import numpy as np

    runs = timing.runs_ms
    if not runs:
        raise ValueError("no runs were timed")
    p90 = float(np.percentile(runs, 90)) if len(runs) >= RUNS_FOR_P90 else None
    return Latency(float(np.median(runs)), p90, len(runs), timing.threads, timing.cold_load_ms, ratio)


def ratio_of_medians(candidate_ms: Sequence[float], baseline_ms: Sequence[float], seed: int = 0) -> Ratio:
    """Median time of the candidate over that of the baseline, with a 95 % bootstrap interval.

    The runs must be interleaved: run i of one right beside run i of the other, so that a slow phase
    of the machine meets both. Blocks of n^(1/3) neighbouring pairs are drawn with replacement (the
    moving block bootstrap of H. R. Kuensch, Annals of Statistics 17, 1217-1241, 1989), because
    neighbouring runs resemble each other; the interval is between the 2.5th and 97.5th percentile.

    Raises:
        ValueError: the series are empty or differ in length, or a time is not positive.
    """
    import numpy as np

    if len(candidate_ms) != len(baseline_ms):
        raise ValueError(f"not interleaved: {len(candidate_ms)} runs against {len(baseline_ms)}")
    times = np.array([candidate_ms, baseline_ms], dtype=np.float64)
    n = times.shape[1]
    if n == 0 or not (times > 0).all() or not np.isfinite(times).all():
        raise ValueError("a ratio needs at least one run of each, with positive times")
    block = max(1, round(n ** (1 / 3)))
    blocks = -(-n // block)
    starts = np.random.default_rng(seed).integers(0, n - block + 1, size=(_RESAMPLES, blocks))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :n]
    medians = np.median(times[:, drawn], axis=2)
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    first, second = np.median(times, axis=1)
    return Ratio(float(first / second), (float(low), float(high)))
