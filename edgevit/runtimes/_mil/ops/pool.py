"""MIL pooling in one to three dimensions; x (N, C, ...)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgevit.runtimes._mil.kernel import Kernel, Kernels
from edgevit.runtimes._mil.ops.conv import Pads, pad_spatial, paddings

if TYPE_CHECKING:
    from torch import Tensor


def _ceil_extra(sizes: list[int], pads: Pads, kernel: list[int], strides: list[int]) -> Pads:
    """What ceil mode adds behind: a last window that starts in the input or the padding before it."""
    extra = []
    for size, (before, after), window, stride in zip(sizes, pads, kernel, strides, strict=True):
        steps = -(-(size + before + after - window) // stride)
        if steps * stride >= size + before:
            steps -= 1
        extra.append((0, max(steps * stride + window - size - before - after, 0)))
    return extra


def _sum_windows(x: Tensor, kernel: list[int], strides: list[int]) -> Tensor:
    import torch.nn.functional as F

    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]
    return function(x, kernel, strides) * math.prod(kernel)


def _layout(
    x: Tensor,
    kernel: list[int],
    strides: list[int] | None,
    pad_type: str,
    pad: list[int] | None,
    ceil_mode: bool,
) -> tuple[list[int], Pads, Pads]:
    steps = strides or [1] * len(kernel)
    sizes = list(x.shape[2:])
    pads = paddings(pad_type, pad, sizes, kernel, steps)
    extra = _ceil_extra(sizes, pads, kernel, steps) if ceil_mode else [(0, 0)] * len(kernel)
    return steps, pads, extra


def max_pool(
    x: Tensor,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """y[n, c, i..] is the largest x under window i; padding counts as minus infinity. x (N, C, ...)."""
    import torch.nn.functional as F

    steps, pads, extra = _layout(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    x = pad_spatial(pad_spatial(x, pads, -math.inf), extra, -math.inf)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel_sizes) - 1]
    return function(x, kernel_sizes, steps)


def avg_pool(
    x: Tensor,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """y[n, c, i..] is the mean of x under window i; padding counts as zeros unless it is excluded. x (N, C, ...)."""
    import torch

    steps, pads, extra = _layout(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    inside = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    inside = pad_spatial(pad_spatial(inside, pads, 0.0 if exclude_padding_from_average else 1.0), extra)
    x = pad_spatial(pad_spatial(x, pads), extra)
    return _sum_windows(x, kernel_sizes, steps) / _sum_windows(inside, kernel_sizes, steps)


def l2_pool(
    x: Tensor,
    kernel_sizes: list[int],
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """y[n, c, i..] = sqrt(sum of x^2 under window i); padding adds nothing. x (N, C, ...)."""
    steps, pads, extra = _layout(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    x = pad_spatial(pad_spatial(x, pads), extra)
    return _sum_windows(x.square(), kernel_sizes, steps).sqrt()


OPERATIONS: Final[Kernels] = {
    "max_pool": Kernel(max_pool, exact=True),
    "avg_pool": Kernel(avg_pool),
    "l2_pool": Kernel(l2_pool),
}
