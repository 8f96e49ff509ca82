"""The arithmetic of affine grids: real = scale * (integer - zero point). Nagel et al. 2021, section 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgevit.core.types import Grid

if TYPE_CHECKING:
    import torch

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
WEIGHT_LIMIT = 127
# A bias beyond this many steps would not fit int32 together with the sum it is added to.
BIAS_LIMIT = 2**30


def activation_grid(
    minimum: float,
    maximum: float,
    dtype: Literal["int8", "uint8"],
    scale_dtype: Literal["float32", "float16"],
) -> Grid:
    """The asymmetric 8-bit grid that covers [minimum, maximum] and holds zero exactly."""
    low, high = min(minimum, 0.0), max(maximum, 0.0)
    first, last = LIMITS[dtype]
    scale = _representable((high - low) / (last - first), scale_dtype)
    zero_point = min(max(round(first - low / scale), first), last)
    return Grid(dtype, (scale,), (zero_point,))


def weight_grid(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    input_scale: float | None,
    scale_dtype: Literal["float32", "float16"],
) -> Grid:
    """The symmetric per-channel grid of a weight (out channels, ...), in [-127, 127].

    Where the bias will be int32 (`input_scale` given), a channel's scale is large enough for its
    bias to fit.
    """
    scales = weight.detach().double().abs().flatten(1).amax(1) / WEIGHT_LIMIT
    if bias is not None and input_scale is not None:
        scales = scales.maximum(bias.detach().double().abs() / (input_scale * BIAS_LIMIT))
    chosen = tuple(_representable(s, scale_dtype) for s in scales.tolist())
    return Grid("int8", chosen, (0,) * len(chosen), axis=0)


def broadcast(grid: Grid, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point as float32 tensors that broadcast against a tensor of `rank` axes."""
    import torch

    scale = torch.tensor(grid.scale, dtype=torch.float32)
    zero = torch.tensor(grid.zero_point, dtype=torch.float32)
    if grid.axis is None:
        return scale.reshape(()), zero.reshape(())
    shape = [1] * rank
    shape[grid.axis] = -1
    return scale.reshape(shape), zero.reshape(shape)


def quantize(value: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Real -> integers of the grid, held in float32; rounds half to even."""
    scale, zero = broadcast(grid, value.ndim)
    low, high = LIMITS[grid.dtype]
    return ((value / scale).round() + zero).clamp(low, high)


def dequantize(integers: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Integers of the grid -> real, float32."""
    scale, zero = broadcast(grid, integers.ndim)
    return (integers.float() - zero) * scale


def _representable(scale: float, dtype: Literal["float32", "float16"]) -> float:
    """The smallest positive value of `dtype` that is not below `scale`; 1 for an empty range."""
    import numpy as np

    if scale <= 0:
        return 1.0
    kind = np.float16 if dtype == "float16" else np.float32
    # below the smallest normal number the step of the type itself would dominate
    rounded = max(kind(scale), np.finfo(kind).smallest_normal)
    if float(rounded) < scale:
        rounded = np.nextafter(rounded, kind(np.inf))
    return float(rounded)
