"""MIL operations that write to places given by value, and sampling at given coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil_kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Data with updates[.., i, ..] combined into place indices[.., i, ..] of `axis`.

    Modes: update (replaces), add, sub, mul, div, max, min.
    """
    places = indices.long()
    places = places.where(places >= 0, places + data.shape[axis])
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode in ("add", "sub"):
        return data.scatter_add(axis, places, updates if mode == "add" else -updates)
    reductions = {"mul": "prod", "div": "prod", "max": "amax", "min": "amin"}
    if mode not in reductions:
        known = "known: update, add, sub, mul, div, max, min"
        raise UnsupportedError(f"Core ML scatter in mode {mode!r}", known)
    factors = updates.reciprocal() if mode == "div" else updates
    return data.scatter_reduce(axis, places, factors, reductions[mode])


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Data with slice i of the updates combined into slice indices[i] along `axis`."""
    column = indices.reshape(-1, *[1] * (updates.dim() - 1 - axis % updates.dim()))
    return scatter_along_axis(data, column.expand(updates.shape), updates, axis, mode)


def scatter_nd(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """Data with updates[i] combined into data[indices[i]]; the last axis of the indices goes through data's axes."""
    depth = indices.shape[-1]
    sizes = data.shape[:depth]
    row = indices.long()[..., 0]
    row = row.where(row >= 0, row + sizes[0])
    for axis in range(1, depth):
        place = indices.long()[..., axis]
        row = row * sizes[axis] + place.where(place >= 0, place + sizes[axis])
    rows = data.reshape(math.prod(sizes), -1)
    changed = scatter(rows, row.reshape(-1), updates.reshape(row.numel(), -1), 0, mode)
    return changed.reshape(data.shape)


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
        raise UnsupportedError(f"Core ML 'resample' with padding_mode {padding_mode!r}")
    centres = {"reflection": True, "symmetric": False}.get(padding_mode, align_corners)
    size = torch.tensor([x.shape[-1], x.shape[-2]], dtype=torch.float32)
    grid = coordinates.float()
    if coordinates_mode == "normalized_zero_to_one":
        grid = 2 * grid - 1
    elif coordinates_mode not in ("unnormalized", "normalized_minus_one_to_one"):
        raise UnsupportedError(f"Core ML 'resample' with coordinates_mode {coordinates_mode!r}")
    if coordinates_mode == "unnormalized" or centres != align_corners:
        if coordinates_mode != "unnormalized":
            grid = (grid + 1) / 2 * (size - 1) if align_corners else ((grid + 1) * size - 1) / 2
        grid = 2 * grid / (size - 1).clamp(min=1) - 1 if centres else (2 * grid + 1) / size - 1
    shift = padding_value if padding_mode == "constant" else 0.0
    y = F.grid_sample(x - shift if shift else x, grid, sampling_mode, modes[padding_mode], centres)
    return y + shift if shift else y


OPERATIONS: Final[Kernels] = {
    "scatter": Kernel(scatter),
    "scatter_along_axis": Kernel(scatter_along_axis),
    "scatter_nd": Kernel(scatter_nd),
    "resample": Kernel(resample),
}
