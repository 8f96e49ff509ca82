"""MIL image resizing of the last axes, by sampling grids as the operator set defines them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil_kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def grid(size: int, wanted: int, mode: str) -> list[float]:
    """Where each of `wanted` output samples lies on the input's axis 0 .. size - 1."""
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if wanted == 1:
            return [(size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0]
        points = [i * (size - 1) / (wanted - 1) for i in range(wanted)]
    elif mode == "DEFAULT":
        points = [i * size / wanted for i in range(wanted)]
    elif mode == "OFFSET_CORNERS":
        delta = max(1, size - 1) / wanted
        points = [0.5 * delta + i * delta for i in range(wanted)]
    elif mode == "UNALIGN_CORNERS":
        points = [(i + 0.5) * size / wanted - 0.5 for i in range(wanted)]
    else:
        raise UnsupportedError(f"Core ML sampling mode {mode!r}", "see the MIL operator resize_bilinear")
    return [min(size - 1.0, max(0.0, point)) for point in points]


def _linear(x: Tensor, axis: int, points: list[float]) -> Tensor:
    import torch

    low = [math.floor(point) for point in points]
    high = [min(place + 1, x.shape[axis] - 1) for place in low]
    fractions = [point - place for point, place in zip(points, low, strict=True)]
    weight = torch.tensor(fractions, dtype=torch.float32).reshape(-1, *[1] * (-1 - axis))
    first = x.index_select(axis, torch.tensor(low))
    return first + (x.index_select(axis, torch.tensor(high)) - first) * weight


def _nearest(x: Tensor, axis: int, wanted: int) -> Tensor:
    import torch

    size = x.shape[axis]
    return x.index_select(axis, torch.tensor([i * size // wanted for i in range(wanted)]))


def resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """X (..., H, W) to a size, linearly between the neighbours on the grid of `sampling_mode`."""
    x = _linear(x, -2, grid(x.shape[-2], target_size_height, sampling_mode))
    return _linear(x, -1, grid(x.shape[-1], target_size_width, sampling_mode))


def upsample_bilinear(
    x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1, align_corners: bool = True
) -> Tensor:
    """X (..., H, W) to floor(H * factor), linearly; the grid is recomputed from the size."""
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS"
    height = math.floor(x.shape[-2] * scale_factor_height)
    return resize_bilinear(x, height, math.floor(x.shape[-1] * scale_factor_width), mode)


def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """X (..., H, W) to a size; output i shows input floor(i * H / H')."""
    return _nearest(_nearest(x, -2, target_size_height), -1, target_size_width)


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Tensor:
    """X (..., H, W) to floor(H * factor), each output the input below it."""
    height = math.floor(x.shape[-2] * scale_factor_height)
    return resize_nearest_neighbor(x, height, math.floor(x.shape[-1] * scale_factor_width))


def resize(
    x: Tensor,
    shape: list[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` axes to the last sizes of `shape`; 0 keeps an axis."""
    for axis in range(-resized_dims, 0):
        wanted = shape[axis] or x.shape[axis]
        if interpolation_mode == "LINEAR":
            x = _linear(x, axis, grid(x.shape[axis], wanted, sampling_mode))
        elif interpolation_mode == "NEAREST_NEIGHBOR" and sampling_mode == "DEFAULT":
            x = _nearest(x, axis, wanted)
        else:
            raise UnsupportedError(f"Core ML 'resize' with {interpolation_mode} and {sampling_mode}")
    return x


OPERATIONS: Final[Kernels] = {
    "resize_bilinear": Kernel(resize_bilinear),
    "upsample_bilinear": Kernel(upsample_bilinear),
    "resize_nearest_neighbor": Kernel(resize_nearest_neighbor, exact=True),
    "upsample_nearest_neighbor": Kernel(upsample_nearest_neighbor, exact=True),
    "resize": Kernel(resize),
}
