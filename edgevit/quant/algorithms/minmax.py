"""The range of an activation is what was seen, all of it."""

from __future__ import annotations

from edgevit.core.plugins import Range
from edgevit.core.types import Stats


def choose(stats: Stats, tensor: str) -> tuple[float, float]:
    """Minimum and maximum over the calibration images; nothing is clipped."""
    low, high = stats.values[tensor, "minmax"]
    return float(low), float(high)


ALGORITHM = Range(
    summary="Range: minimum and maximum over the calibration images.", observers=("minmax",), choose=choose
)
