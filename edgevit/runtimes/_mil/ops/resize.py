"""MIL image resizing of the last axes.

An axis of `size` samples at 0, 1, .. size - 1 is sampled anew at `wanted` points. Which points, the sampling
mode says; between samples the value is linear, or that of a neighbour.

Source: `resize_bilinear` of the operator set for the points. For neighbours the operator set states no rule;
Apple's tests and its TensorFlow converter, which are compared with TensorFlow on macOS, fix it:
`resize_nearest_neighbor` and `resize` are TensorFlow's ResizeNearestNeighbor with half_pixel_centers,
`upsample_nearest_neighbor` is the one without.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def grid(size: int, wanted: int, mode: str) -> list[float]:
    """Where each of `wanted` output samples lies on the input's axis, kept within 0 .. size - 1.

    STRICT_ALIGN_CORNERS: i (size - 1) / (wanted - 1); ALIGN_CORNERS: the same, and the middle for one sample.
    DEFAULT: i size / wanted. OFFSET_CORNERS: (i + 1/2) max(1, size - 1) / wanted.
    UNALIGN_CORNERS: (i + 1/2) size / wanted - 1/2, with pixels as areas around their centres.
    """
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if wanted == 1:
            return [(size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0]
        points = [i * (size - 1) / (wanted - 1) for i in range(wanted)]
    elif mode == "DEFAULT":
        points = [i * size / wanted for i in range(wanted)]
    elif mode == "OFFSET_CORNERS":
        points = [(i + 0.5) * max(1, size - 1) / wanted for i in range(wanted)]
    elif mode == "UNALIGN_CORNERS":
        points = [(i + 0.5) * size / wanted - 0.5 for i in range(wanted)]
    else:
        raise UnsupportedError(f"Core ML sampling mode {mode!r}", "see the MIL operator resize_bilinear")
    return [min(size - 1.0, max(0.0, point)) for point in points]


def neighbours(size: int, wanted: int, mode: str) -> list[int]:
    """The sample that each output shows: the nearest to its point of `grid`, the later one halfway.

    DEFAULT takes the points of UNALIGN_CORNERS, which makes it floor((i + 1/2) size / wanted): Apple's test
    has 2 to 3 samples [a, b] become [a, b, b], and its converter integer factors repeat each sample.
    """
    points = grid(size, wanted, "UNALIGN_CORNERS" if mode == "DEFAULT" else mode)
    return [min(math.floor(point + 0.5), size - 1) for point in points]


def _linear(x: Tensor, axis: int, points: list[float]) -> Tensor:
    """x (axis counted from the right) at these points: (1 - t) x[i] + t x[i + 1] for the point i + t."""
    import torch

    low = [math.floor(point) for point in points]
    high = [min(place + 1, x.shape[axis] - 1) for place in low]
    fractions = [point - place for point, place in zip(points, low, strict=True)]
    weight = torch.tensor(fractions, dtype=torch.float32).reshape(-1, *[1] * (-1 - axis))
    first = x.index_select(axis, torch.tensor(low))
    return first + (x.index_select(axis, torch.tensor(high)) - first) * weight


def _take(x: Tensor, axis: int, places: list[int]) -> Tensor:
    import torch

    return x.index_select(axis, torch.tensor(places))


def resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """x (..., H, W) to a size, linear between the samples at the points of `grid`, rows before columns."""
    x = _linear(x, -2, grid(x.shape[-2], target_size_height, sampling_mode))
    return _linear(x, -1, grid(x.shape[-1], target_size_width, sampling_mode))


def _scaled(size: int, factor: float) -> int:
    """floor(size * factor) in float32, as the operator set's shape inference computes it."""
    import numpy as np

    return int(np.floor(np.float32(size) * np.float32(factor)))


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """x (..., H, W) to floor(H * factor), linear; the ratio of the sizes replaces the factor.

    The points are those of `grid`: STRICT_ALIGN_CORNERS with align_corners, UNALIGN_CORNERS with
    half_pixel_centers (without align_corners: the default), DEFAULT with neither.

    Raises:
        UnsupportedError: both, for which the operator set has no grid.
    """
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    if align_corners and half:
        raise UnsupportedError(
            "Core ML 'upsample_bilinear' with both align_corners and half_pixel_centers",
            "the operator set defines no grid for them together: set one",
        )
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    height, width = _scaled(x.shape[-2], scale_factor_height), _scaled(x.shape[-1], scale_factor_width)
    return resize_bilinear(x, height, width, mode)


def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """x (..., H, W) to (..., H', W'): y[i, j] = x[floor((i + 1/2) H / H'), floor((j + 1/2) W / W')]."""
    x = _take(x, -2, neighbours(x.shape[-2], target_size_height, "DEFAULT"))
    return _take(x, -1, neighbours(x.shape[-1], target_size_width, "DEFAULT"))


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Tensor:
    """x (..., H, W) to H' = floor(H * factor), W' alike: y[i, j] = x[floor(i H / H'), floor(j W / W')].

    It is the ratio of the sizes that counts, not the factor: in Apple's test, 3 samples times 1.12 stay as
    they are.
    """
    for axis, factor in ((-2, scale_factor_height), (-1, scale_factor_width)):
        size = x.shape[axis]
        wanted = _scaled(size, factor)
        x = _take(x, axis, [i * size // wanted for i in range(wanted)])
    return x


def resize(
    x: Tensor,
    shape: list[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` axes to the last sizes of `shape`, where 0 leaves an axis as it is.

    LINEAR interpolates at the points of `grid`, NEAREST_NEIGHBOR takes the samples of `neighbours`.
    """
    for axis in range(-resized_dims, 0):
        size = x.shape[axis]
        wanted = shape[axis] or size
        if interpolation_mode == "LINEAR":
            x = _linear(x, axis, grid(size, wanted, sampling_mode))
        elif interpolation_mode == "NEAREST_NEIGHBOR":
            x = _take(x, axis, neighbours(size, wanted, sampling_mode))
        else:
            known = "known: LINEAR, NEAREST_NEIGHBOR"
            raise UnsupportedError(f"Core ML 'resize' with interpolation_mode {interpolation_mode!r}", known)
    return x


OPERATIONS: Final[Kernels] = {
    "resize_bilinear": Kernel(resize_bilinear),
    "upsample_bilinear": Kernel(upsample_bilinear),
    "resize_nearest_neighbor": Kernel(resize_nearest_neighbor, exact=True),
    "upsample_nearest_neighbor": Kernel(upsample_nearest_neighbor, exact=True),
    "resize": Kernel(resize, by_value=("shape",)),
}
