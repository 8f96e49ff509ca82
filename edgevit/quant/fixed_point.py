"""What TFLite's integer kernels compute where that is not the real result, rounded once.

A kernel multiplies an integer sum x by a real M > 0 as M = q 2^(e - 31), q an integer in [2^30, 2^31):

1. `twice`: int32 sums. h = floor(x 2^max(e, 0) q / 2^31 + 1/2), then h / 2^max(-e, 0) to the nearest, halves away from
   zero (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 2.2). The first rounding moves the result by up to
   2^(e - 1) of a step, which is why it does not vanish.
2. `once`: sums of int16 activations. floor(x r / 2^(15 - e) + 1/2), r = q in 16 bits.
3. `added`: int8, by XNNPACK. x m + y n with m and n in 21 bits, floor((x m + y n) 2^-k + 1/2).
4. `sigmoid`: int16. Chords of the sigmoid over 1/24, lifted by half of what a chord lies below the curve, so that the
   error is shared between their ends and their middles.

LiteRT with XNNPACK is the oracle: `tests/converters/tflite/test_full_integer.py` finds no element that differs.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

from edgevit.core.quant_params import LIMITS, WIDE, QuantParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

_ONE: Final = 1 << 31
_SMALLEST_EXPONENT: Final = -31  # below, the multiplier is 0
_CHORD: Final = 24  # chords for each unit of the sigmoid's argument
_CHORDS: Final = 255
_LARGEST_FACTOR: Final = 32767


def requantized(value: torch.Tensor, given: QuantParams, wanted: QuantParams) -> torch.Tensor:
    """Real values of the grid `given`, of any shape, on the grid `wanted`, as QUANTIZE computes them; float32."""
    import torch

    steps = (value.double() / given.scale[0]).round().to(torch.int64)
    return real(twice(steps, given.scale[0] / wanted.scale[0]), wanted)


def real(steps: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """The float32 values of int64 steps from the zero point, as far as the grid reaches."""
    low, high = (limit - params.zero_point[0] for limit in LIMITS[params.dtype])
    return steps.clamp(low, high).float().mul_(params.scale[0])


def twice(total: torch.Tensor, factor: float) -> torch.Tensor:
    """An int64 tensor that fits int32, times `factor`, as kernels with int32 sums round it."""
    import torch

    multiplier, exponent = _multiplier(factor)
    high = ((total << max(exponent, 0)) * multiplier + (1 << 30)) >> 31
    right = max(-exponent, 0)
    if right == 0:
        return high
    mask = (1 << right) - 1
    # halves go away from zero: up for what is positive
    limit = (mask >> 1) + (high < 0).to(torch.int64)
    return (high >> right) + ((high & mask) > limit).to(torch.int64)


def once(total: torch.Tensor, factors: Sequence[float], shape: tuple[int, ...]) -> torch.Tensor:
    """An int64 tensor times a factor for each channel, as kernels with int64 sums round it.

    Args:
        shape: to which the factors are brought, so that they broadcast to `total`.
    """
    import torch

    pairs = [_multiplier(factor) for factor in factors]
    short = [min((multiplier + (1 << 15)) >> 16, _LARGEST_FACTOR) for multiplier, _ in pairs]
    reduced = torch.tensor(short, dtype=torch.int64).reshape(shape)
    right = torch.tensor([15 - exponent for _, exponent in pairs], dtype=torch.int64).reshape(shape)
    return (total * reduced + (torch.ones_like(right) << (right - 1))) >> right


def added(
    first: torch.Tensor, second: torch.Tensor, factors: tuple[float, float], params: QuantParams
) -> torch.Tensor:
    """The sum of two int64 tensors of steps, each times its factor, on the int8 grid `params`; float32."""
    import numpy as np

    single = [float(np.float32(factor)) for factor in factors]
    shift = 21 - math.frexp(max(abs(factor) for factor in single))[1]
    multipliers = [round(factor * 2.0**shift) for factor in single]
    total = first * multipliers[0] + second * multipliers[1]
    return real((total + (1 << (shift - 1))) >> shift, params)


def sigmoid(value: torch.Tensor, given: QuantParams, wanted: QuantParams) -> torch.Tensor:
    """The sigmoid of real values of an int16 grid, of any shape, on the int16 grid of [0, 1]; float32."""
    import torch

    assert given.dtype in WIDE and wanted.dtype in WIDE
    steps = (value.double() / given.scale[0]).round().to(torch.int64)
    # 512 steps for each chord; the factor keeps 15 bits and is cut off, not rounded
    factor, shift = given.scale[0] * 512 * _CHORD, 0
    while factor <= _LARGEST_FACTOR / 2 and shift <= 30:
        factor, shift = 2 * factor, shift + 1
    place = (steps * int(factor) + ((1 << shift) >> 1)) >> shift
    table = torch.tensor(_chords(), dtype=torch.int64)
    chord = place.abs() >> 9
    at = chord.clamp(max=_CHORDS - 1)
    start, end = table[at], table[at + 1]
    found = (start << 9) + (place.abs() & 511) * (end - start)
    found = torch.where(chord >= _CHORDS, 0x7FFF << 10, found)
    found = torch.where(place >= 0, found + 512, (1 << 25) - found + 511)
    return real(found >> 10, wanted)


@cache
def _chords() -> tuple[int, ...]:
    """The ends of the chords, in steps of 2^-16; |s''| = s (1 - s) |1 - 2 s|, and a chord lies h^2 |s''| / 8 below."""
    found = []
    for index in range(_CHORDS + 1):
        value = 1 / (1 + math.exp(-index / _CHORD))
        bent = value * (1 - value) * abs(1 - 2 * value)
        found.append(min(round(65536 * (value + bent / _CHORD**2 / 16)), 65535))
    return tuple(found)


def _multiplier(factor: float) -> tuple[int, int]:
    """q and e with factor = q 2^(e - 31), to 31 bits."""
    mantissa, exponent = math.frexp(factor)
    found = math.floor(mantissa * _ONE + 0.5)
    if found == _ONE:
        found, exponent = found // 2, exponent + 1
    return (found, exponent) if exponent >= _SMALLEST_EXPONENT else (0, 0)
