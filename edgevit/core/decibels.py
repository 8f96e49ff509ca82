"""Signal to quantization noise ratio, in dB."""

from __future__ import annotations

import math
from typing import Final

# JSON has no infinity: what reports hold stays within this on both sides.
LIMIT_DB: Final = 200.0


def sqnr_db(signal: float, noise: float, limit: float = LIMIT_DB) -> float:
    """10 log10(signal / noise) of two sums of squares, within -limit and limit.

    No noise gives the limit; no signal, or noise that is not finite, gives -limit.
    """
    if noise == 0:
        return limit
    if not signal > 0 or not math.isfinite(noise):
        return -limit
    return max(-limit, min(limit, 10 * (math.log10(signal) - math.log10(noise))))
