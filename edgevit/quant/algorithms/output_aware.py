"""The range of an activation: the part of what was seen whose rounding and clipping cost the model's output least.

A range [a, b] in 8 bits gives the scale s = (b - a) / 255. A wide range rounds coarsely, a narrow one clips:

    d(x) = s (clamp(round(x / s) + z, 0, 255) - z) - x       the error of a tensor x, any shape

What counts is not |d|^2 but what it does to the output y: to first order dy = J d with J = dy/dx. Each candidate's
E |J d|^2 / E |y|^2 is measured by `edgevit.quant.output_sensitivity` on the calibration images.

1. Candidates are fractions 1.0, 0.9, ... 0.3 of the minimum and maximum seen: of both, of the minimum alone, of the
   maximum alone. Zero stays representable in each.
2. The candidate with the smallest cost wins, but only if it costs less than 0.95 times what the whole range costs:
   clipping is a bet on the calibration images.
3. Tensors without a measured cost keep the whole range.

Wu et al. 2020, https://arxiv.org/abs/2004.09602, section 3.2, compare criteria that look at the tensor alone (maximum,
percentile, entropy); this one weighs its error by the Jacobian of the model's output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Range
from edgevit.core.types import Stats

if TYPE_CHECKING:
    import torch

_PARTS: Final = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
# (part of the minimum, part of the maximum): both sides together, then one alone.
CANDIDATES: Final = (
    *((part, part) for part in _PARTS),
    *((part, 1.0) for part in _PARTS[2::2]),
    *((1.0, part) for part in _PARTS[2::2]),
)
STEPS: Final = 255
# Clipping is a bet on the calibration images; it has to pay.
GAIN: Final = 0.95


def errors(value: torch.Tensor, low: float, high: float) -> Iterator[torch.Tensor]:
    """What 8 bits on each candidate range add to `value`; zero is on every grid."""
    for below, above in CANDIDATES:
        first, last = min(low * below, 0.0), max(high * above, 0.0)
        scale = (last - first) / STEPS or 1.0
        zero = round(-first / scale)
        yield (value / scale).round_().clamp_(-zero, STEPS - zero).mul_(scale).sub_(value)


def choose(stats: Stats, tensor: str) -> tuple[float, float]:
    """The best candidate by its measured effect; the whole range where nothing is clearly better."""
    low, high = (float(v) for v in stats.values[tensor, "minmax"])
    sensitivities = stats.values.get((tensor, "range_sensitivity"))
    if sensitivities is None:
        return low, high
    best = int(sensitivities.argmin())
    if sensitivities[best] > GAIN * sensitivities[0]:
        best = 0
    below, above = CANDIDATES[best]
    return low * below, high * above


ALGORITHM = Range(
    summary="Range: what costs the model's output least, by its derivative.",
    observers=("minmax",),
    choose=choose,
    errors=errors,
)
