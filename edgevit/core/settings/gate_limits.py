"""What the gate allows a file to lose: one list for flags, policies and checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

OFF: Final = "off"  # in the place of a number: no limit


def _allowed(default: float | None, unit: str, words: str) -> float | None:
    """A field of GateLimits, with the unit and the words of its flag."""
    found: float | None = field(default=default, metadata={"unit": unit, "help": words})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What one file may lose against the baseline; None switches a check off.

    Attributes:
        max_drop: percentage points of accuracy, image by image.
        max_agreement_loss: percentage points of agreement with the float model.
        min_agreement: percent of agreement with the float model, whatever it was.
        max_sqnr_loss: dB of total SQNR; 3 dB is twice the noise.
        max_size_growth: percent of the file's size.
        max_latency_regression: percent of the median latency.
        max_memory_growth: percent of the runtime's peak memory, where a device measured it.
        max_integer_loss: percentage points of the multiply-accumulates in integers.
    """

    max_drop: float | None = _allowed(1.0, "PP", "Percentage points that accuracy may fall.")
    max_agreement_loss: float | None = _allowed(
        2.0, "PP", "Percentage points that agreement with the float model may fall."
    )
    min_agreement: float | None = _allowed(
        None, "PCT", "Least agreement with the float model, whatever it was."
    )
    max_sqnr_loss: float | None = _allowed(3.0, "DB", "Total SQNR that may be lost.")
    max_size_growth: float | None = _allowed(5.0, "PCT", "Growth of a file.")
    max_latency_regression: float | None = _allowed(10.0, "PCT", "Growth of the latency.")
    max_memory_growth: float | None = _allowed(
        10.0, "PCT", "Growth of the runtime's peak memory, where a device measured it."
    )
    max_integer_loss: float | None = _allowed(
        1.0, "PP", "Percentage points of the multiply-accumulates that may leave the integers."
    )
