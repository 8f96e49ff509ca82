"""MIL quantization: run-time quantize and dequantize, and the constexpr operations that unpack weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


_LIMITS: Final = {"int8": (-128, 127), "uint8": (0, 255)}


def _along(values: Tensor, rank: int, axis: int | None) -> Tensor:
    """A scalar as it is; a vector shaped to broadcast along `axis` of a tensor of this rank."""
    if values.numel() == 1:
        return values.reshape(())
    return values.reshape(-1, *[1] * (rank - 1 - (axis or 0) % rank))


def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """clip(round(input / scale) + zero_point), halves to even, to the range of int8 or uint8."""
    if output_dtype not in _LIMITS:
        raise UnsupportedError(f"Core ML operation 'quantize' to {output_dtype!r}", "known: int8, uint8")
    low, high = _LIMITS[output_dtype]
    y = (input / _along(scale, input.dim(), axis)).round_()  # y is new: in place saves memory traffic
    if zero_point is not None:
        y.add_(_along(zero_point, input.dim(), axis))
    return y.clamp(low, high)


def dequantize(
    input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """y = scale (input - zero_point), per tensor or per index of axis."""
    factor = _along(scale, input.dim(), axis)
    if zero_point is None:
        return input * factor
    return (input - _along(zero_point, input.dim(), axis)).float().mul_(factor)


def requantize(first: Mapping[str, Any], second: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """A quantize and a dequantize of one zero point as one function, None for two zero points.

    With the bounds moved by the zero point, clip(round(x / s) + z) - z = clip(round(x / s)): exact,
    since a float32 holds these integers exactly.

    Args:
        first, second: the constants of the quantize and of the dequantize, all of them scalars.
    """
    low, high = _LIMITS[first["output_dtype"]]
    scale, factor = first["scale"], second["scale"]
    zero = 0.0 if first.get("zero_point") is None else float(first["zero_point"])
    if zero != (0.0 if second.get("zero_point") is None else float(second["zero_point"])):
        return None

    def call(x: Tensor) -> Tensor:
        y: Tensor = (x / scale).round_().clamp_(low - zero, high - zero).mul_(factor)
        return y

    return call


def constexpr_affine_dequantize(
    quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: int
) -> Tensor:
    """y = scale (quantized_data - zero_point), per tensor or per index of axis."""
    return dequantize(quantized_data, scale, zero_point, axis)


def _repeat_blocks(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Each value repeated over its block, so that the result has this shape."""
    for axis, size in enumerate(shape):
        values = values.repeat_interleave(size // values.shape[axis], axis)
    return values


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """y = scale (data - offset), one scale and offset per block of data.shape / scale.shape."""
    y = data.float()
    if offset is not None:
        y = y - _repeat_blocks(offset.float(), tuple(data.shape))
    return y * _repeat_blocks(scale, tuple(data.shape))


def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """A float16 constant as float32."""
    return source_val


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """`count` unsigned numbers of so many bits, least significant bit first across bytes."""
    import torch

    planes = (packed.reshape(-1, 1).long() >> torch.arange(8)) & 1
    each = planes.reshape(-1)[: count * bits].reshape(count, bits)
    return (each << torch.arange(bits)).sum(1)


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: list[int] | None = None, vector_axis: int | None = None
) -> Tensor:
    """Look up each index in a table.

    With `shape` (iOS 16): packed indices, one table (K,). Without (iOS 18): one index per element,
    a table (..., K, vector) per block of indices, vectors laid along `vector_axis`.
    """
    import torch

    if shape is not None:
        bits = round(math.log2(lut.numel()))
        return lut[unpack_bits(indices, bits, math.prod(shape))].reshape(shape)
    rank, (palettes, vector) = indices.dim(), lut.shape[-2:]
    blocks = torch.arange(lut[..., 0, 0].numel()).reshape(lut.shape[:-2])
    table = _repeat_blocks(blocks, tuple(indices.shape))
    found = lut.reshape(-1, palettes, vector)[table, indices.long()]
    if vector == 1:
        return found.squeeze(-1)
    axis = (vector_axis or 0) % rank
    return found.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: list[int] | None = None) -> Tensor:
    """Put the values where the mask is set, in row-major order, and 0 elsewhere.

    With `shape` (iOS 16) the mask is packed bits; without (iOS 18) one element of the mask per element.
    """
    import torch

    sizes = list(mask.shape) if shape is None else shape
    chosen = mask if shape is None else unpack_bits(mask, 1, math.prod(shape))
    y = torch.zeros(math.prod(sizes), dtype=nonzero_data.dtype)
    y[chosen.reshape(-1).bool()] = nonzero_data
    return y.reshape(sizes)


def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """Look up only the kept indices; returns the mask (widened by vectors) and the values it keeps."""
    dense = constexpr_lut_to_dense(
        constexpr_sparse_to_dense(indices_nonzero_data, indices_mask), lut, None, vector_axis
    )
    mask = indices_mask
    if lut.shape[-1] > 1:
        mask = mask.repeat_interleave(lut.shape[-1], vector_axis or 0)
    return mask, dense[mask.bool()]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Shift and scale only the kept values; returns the mask and these values."""
    dense = constexpr_sparse_to_dense(nonzero_data, data_mask)
    return data_mask, constexpr_blockwise_shift_scale(dense, scale, offset)[data_mask.bool()]


OPERATIONS: Final[Kernels] = {
    "quantize": Kernel(quantize, exact=True, pointwise=True),
    "dequantize": Kernel(dequantize, pointwise=True),
    "constexpr_affine_dequantize": Kernel(constexpr_affine_dequantize),
    "constexpr_blockwise_shift_scale": Kernel(constexpr_blockwise_shift_scale),
    "constexpr_cast": Kernel(constexpr_cast, exact=True),
    "constexpr_lut_to_dense": Kernel(constexpr_lut_to_dense, exact=True),
    "constexpr_sparse_to_dense": Kernel(constexpr_sparse_to_dense, exact=True),
    "constexpr_lut_to_sparse": Kernel(constexpr_lut_to_sparse, exact=True),
    "constexpr_sparse_blockwise_shift_scale": Kernel(constexpr_sparse_blockwise_shift_scale),
}
