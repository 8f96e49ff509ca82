"""MIL operations that write to places given by value, and sampling at given coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels
from edgevit.runtimes._mil.ops.indices import places

if TYPE_CHECKING:
    from torch import Tensor


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool | None = None,
) -> Tensor:
    """data with y[p.., indices[p.., i, q..], q..] made of itself and updates[p.., i, q..], i on `axis`.

    Modes: update (replaces), add, sub, mul, div, max, min; several updates of one element combine. The
    shape of data; updates has the shape of indices. Indices as in `places`.
    """
    return _combined(data, places(indices, data.shape[axis], validate_indices), updates, axis, mode)


def _combined(data: Tensor, chosen: Tensor, updates: Tensor, axis: int, mode: str) -> Tensor:
    import torch

    if mode == "update":
        return data.scatter(axis, chosen, updates)
    if mode in ("add", "sub"):
        return data.scatter_add(axis, chosen, updates if mode == "add" else -updates)
    if mode == "div":
        divisors = torch.ones_like(data).scatter_reduce(axis, chosen, updates, "prod")
        return torch.div(data, divisors, rounding_mode=None if data.is_floating_point() else "trunc")
    reductions = {"mul": "prod", "max": "amax", "min": "amin"}
    if mode not in reductions:
        known = "known: update, add, sub, mul, div, max, min"
        raise UnsupportedError(f"Core ML scatter in mode {mode!r}", known)
    return data.scatter_reduce(axis, chosen, updates, reductions[mode])


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool | None = None,
) -> Tensor:
    """data with y[p.., indices[i..], q..] made of itself and updates[p.., i.., q..].

    updates has the shape data.shape[:axis] + indices.shape + data.shape[axis + 1:]. Modes as in
    `scatter_along_axis`, indices as in `places`.
    """
    axis %= data.dim()
    chosen = places(indices, data.shape[axis], validate_indices).reshape(-1)
    rows = updates.reshape(*data.shape[:axis], chosen.numel(), *data.shape[axis + 1 :])
    column = chosen.reshape(-1, *[1] * (data.dim() - 1 - axis))
    return _combined(data, column.expand(rows.shape), rows, axis, mode)


def scatter_nd(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str = "add",
    validate_indices: bool | None = None,
) -> Tensor:
    """data with y[indices[i.., 0], indices[i.., 1], ..] made of itself and updates[i..].

    The last axis of indices goes through the first axes of data; updates has the shape
    indices.shape[:-1] + data.shape[indices.shape[-1]:]. Modes as in `scatter_along_axis`, indices as in
    `places`.
    """
    depth = indices.shape[-1]
    sizes = data.shape[:depth]
    row = indices.new_zeros(indices.shape[:-1]).long()
    for size, coordinate in zip(sizes, indices.unbind(-1), strict=True):
        row = row * size + places(coordinate, size, validate_indices)
    column = row.reshape(-1, 1)
    rows = data.reshape(math.prod(sizes), -1)
    changes = updates.reshape(column.numel(), -1)
    return _combined(rows, column.expand(changes.shape), changes, 0, mode).reshape(data.shape)


def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """X (B, C, H, W) at coordinates (B, H', W', 2), each (x, y): (B, C, H', W').

    Outside of the image: `padding_value` (constant), the edge (border), mirrored about the outermost
    pixels (reflection) or about their outer edges (symmetric). Coordinates reach from 0 to size - 1
    (unnormalized), or over [-1, 1] or [0, 1] from the first to the last pixel's centre
    (`align_corners`) or outer edge.
    """
    import torch
    import torch.nn.functional as F

    modes = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}
    if padding_mode not in modes:
        raise UnsupportedError(
            f"Core ML 'resample' with padding_mode {padding_mode!r}",
            "on macOS Core ML itself can run the file",
        )
    centres = {"reflection": True, "symmetric": False}.get(padding_mode, align_corners)
    size = torch.tensor([x.shape[-1], x.shape[-2]], dtype=torch.float32)
    grid = coordinates.float()
    if coordinates_mode == "normalized_zero_to_one":
        grid = 2 * grid - 1
    elif coordinates_mode not in ("unnormalized", "normalized_minus_one_to_one"):
        raise UnsupportedError(
            f"Core ML 'resample' with coordinates_mode {coordinates_mode!r}",
            "on macOS Core ML itself can run the file",
        )
    if coordinates_mode == "unnormalized" or centres != align_corners:
        if coordinates_mode != "unnormalized":
            grid = (grid + 1) / 2 * (size - 1) if align_corners else ((grid + 1) * size - 1) / 2
        grid = 2 * grid / (size - 1).clamp(min=1) - 1 if centres else (2 * grid + 1) / size - 1
    shift = padding_value if padding_mode == "constant" else 0.0
    y = F.grid_sample(x - shift if shift else x, grid, sampling_mode, modes[padding_mode], centres)
    return y + shift if shift else y


OPERATIONS: Final[Kernels] = {
    "scatter": Kernel(scatter, by_value=("indices",)),
    "scatter_along_axis": Kernel(scatter_along_axis, by_value=("indices",)),
    "scatter_nd": Kernel(scatter_nd, by_value=("indices",)),
    "resample": Kernel(resample),
}
