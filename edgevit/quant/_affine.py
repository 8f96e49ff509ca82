"""The arithmetic of affine grids: real = scale * (integer - zero point). Nagel et al. 2021, section 2."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from edgevit.core import quant_params
from edgevit.core.capabilities import ActivationType
from edgevit.core.quant_params import LIMITS, WEIGHT_LIMITS, DynamicQuantization, QuantParams

if TYPE_CHECKING:
    import torch

# What part of its largest weight a channel's (or block's) grid covers: clipping few can make all finer.
SHRINKS = {
    "int4": (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55),
    "int8": (1.0, 0.97, 0.94, 0.9, 0.85),
}
# A bias beyond this many steps would not fit int32 together with the sum it is added to.
BIAS_LIMIT = 2**30


def activation_params(
    minimum: float,
    maximum: float,
    dtype: ActivationType,
    scale_dtype: Literal["float32", "float16"],
) -> QuantParams:
    """The grid that covers [minimum, maximum] and holds zero exactly; that of int16 has the zero point 0."""
    low, high = min(minimum, 0.0), max(maximum, 0.0)
    first, last = LIMITS[dtype]
    if dtype == "int16":
        return QuantParams(dtype, (_representable(max(-low, high) / last, scale_dtype),), (0,))
    scale = _representable((high - low) / (last - first), scale_dtype)
    zero_point = min(max(round(first - low / scale), first), last)
    return QuantParams(dtype, (scale,), (zero_point,))


def channel_params(limits: list[float], axis: int, scale_dtype: Literal["float32", "float16"]) -> QuantParams:
    """The symmetric int8 grid with a scale for each index of `axis`, which covers [-limit, limit] there."""
    scales = tuple(_representable(limit / 127, scale_dtype) for limit in limits)
    return QuantParams("int8", scales, (0,) * len(scales), axis)


def weight_params(
    weight: torch.Tensor,
    dtype: Literal["int4", "int8"],
    block: int | None,
    importance: torch.Tensor | None,
    scale_dtype: Literal["float32", "float16", "bfloat16"],
    smallest: torch.Tensor | None = None,
) -> QuantParams:
    """The symmetric grid of a weight (out channels, ...): a scale per channel, or per block of its inputs.

    Args:
        importance: how much a squared error of each element counts, of the shape of the weight as
            (out channels, inputs); the grid then covers the part of the range that costs least. None for
            all of it.
        smallest: no channel's scale may be below it, (out channels,).
    """
    import torch

    rows = weight.detach().double().flatten(1)
    limit = WEIGHT_LIMITS[dtype]
    parts = rows.reshape(len(rows), -1, block or rows.shape[1])
    full = parts.abs().amax(-1) / limit
    if smallest is not None:
        full = full.maximum(smallest[:, None])
    scales = full
    if importance is not None:
        counts = importance.double().reshape(parts.shape)
        best = torch.full_like(full, torch.inf)
        for shrink in SHRINKS[dtype]:
            tried = (full * shrink).clamp(min=1e-30)
            if smallest is not None:
                tried = tried.maximum(smallest[:, None])
            steps = (parts / tried[..., None]).round().clamp(-limit, limit)
            lost = (counts * (parts - steps * tried[..., None]).square()).sum(-1)
            scales = torch.where(lost < best, tried, scales)
            best = torch.minimum(lost, best)
        scales = torch.where(full > 0, scales, full)
    chosen = tuple(_representable(s, scale_dtype) for s in scales.flatten().tolist())
    return QuantParams(dtype, chosen, (0,) * len(chosen), axis=0, block=block)


def bias_scales(bias: torch.Tensor, input_scale: float) -> torch.Tensor:
    """The smallest weight scale of each channel with which its bias fits int32, float64 (out channels,)."""
    return bias.detach().double().abs() / (input_scale * BIAS_LIMIT)


def weight_scales(params: QuantParams, shape: tuple[int, ...]) -> torch.Tensor:
    """The scale of every element of a weight of `shape`, float32, broadcastable to it."""
    import torch

    return torch.from_numpy(quant_params.weight_scales(params, shape))


def broadcast(params: QuantParams, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point as float32 tensors that broadcast against a tensor of `rank` axes.

    Not for grids in blocks.
    """
    import torch

    scale = torch.tensor(params.scale, dtype=torch.float32)
    zero = torch.tensor(params.zero_point, dtype=torch.float32)
    if params.axis is None:
        return scale.reshape(()), zero.reshape(())
    shape = [1] * rank
    shape[params.axis] = -1
    return scale.reshape(shape), zero.reshape(shape)


def quantize(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Real -> integers of the grid, held in float32; rounds half to even."""
    scale, zero = broadcast(params, value.ndim)
    low, high = LIMITS[params.dtype]
    return (value / scale).round_().add_(zero).clamp_(low, high)


def dequantize(integers: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Integers of the grid -> real, float32."""
    scale, zero = broadcast(params, integers.ndim)
    return (integers.float() - zero).mul_(scale)


def fake_quantize(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Real -> the nearest real values of the grid; `dequantize` in place, for activations of all images at once."""
    scale, zero = broadcast(params, value.ndim)
    return quantize(value, params).sub_(zero).mul_(scale)


def quantize_dynamic(value: torch.Tensor, how: DynamicQuantization) -> tuple[torch.Tensor, torch.Tensor]:
    """What a dynamic kernel makes of its input: integers minus their zero point, and the scales.

    Args:
        value: real, (..., channels).

    Returns:
        Both float32, the scales of a shape that broadcasts to the integers'; with blocks both are
        (..., blocks, block).
    """
    import torch

    if how.normalized:
        largest = value.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        steps, scale = quantize_dynamic(value / largest, replace(how, normalized=False))
        return steps, scale * largest
    low, high = LIMITS[how.dtype]
    parts = value
    if how.per == "block":
        assert how.block is not None
        short = -value.shape[-1] % how.block
        padded = torch.nn.functional.pad(value, (0, short))
        parts = padded.reshape(*value.shape[:-1], -1, how.block)
    axes = tuple(range(parts.ndim)) if how.per == "tensor" else (-1,)
    if how.symmetric:
        largest = parts.abs().amax(axes, keepdim=True)
        scale = torch.where(largest > 0, largest / high, torch.ones_like(largest))
        return (parts / scale).round().clamp(-high, high), scale
    first = parts.amin(axes, keepdim=True).clamp(max=0)
    last = parts.amax(axes, keepdim=True).clamp(min=0)
    scale = (last - first) / (high - low)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero = (low - first / scale).round().clamp(low, high)
    return ((parts / scale).round() + zero).clamp(low, high) - zero, scale


def fake_quantize_dynamic(value: torch.Tensor, how: DynamicQuantization) -> torch.Tensor:
    """The real values that a dynamic kernel sees instead of `value`, of its shape."""
    integers, scale = quantize_dynamic(value, how)
    seen = integers * scale
    return seen.flatten(-2)[..., : value.shape[-1]] if how.per == "block" else seen


def nearest_scale(scale: float, dtype: Literal["float32", "float16", "bfloat16"]) -> float | None:
    """The normal number of `dtype` that is nearest to a positive `scale`; None where it has none."""
    import numpy as np

    kind = np.float32 if dtype == "float32" else np.float16
    with np.errstate(over="ignore", under="ignore"):
        found = float(kind(scale))
    if dtype == "bfloat16" and math.isfinite(found):
        fraction, exponent = math.frexp(found)
        found = math.ldexp(round(fraction * 256), exponent - 8)
    limits = np.finfo(kind)
    return found if float(limits.smallest_normal) <= found <= float(limits.max) else None


def _representable(scale: float, dtype: Literal["float32", "float16", "bfloat16"]) -> float:
    """The smallest positive value of `dtype` that is not below `scale`; 1 for an empty range.

    Of bfloat16 only what float16 holds too.
    """
    import numpy as np

    if scale <= 0:
        return 1.0
    kind = np.float32 if dtype == "float32" else np.float16
    # below the smallest normal number the step of the type itself would dominate
    wanted = max(scale, float(np.finfo(kind).smallest_normal))
    if dtype == "bfloat16":
        fraction, exponent = math.frexp(wanted)
        return math.ldexp(math.ceil(fraction * 256), exponent - 8)
    rounded = kind(wanted)
    if float(rounded) < wanted:
        rounded = np.nextafter(rounded, kind(np.inf))
    return float(rounded)
