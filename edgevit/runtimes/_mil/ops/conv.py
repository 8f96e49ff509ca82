"""MIL convolutions in one to three dimensions, and the padding rules they share with pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor

Pads = list[tuple[int, int]]


def paddings(
    pad_type: str, pad: list[int] | None, sizes: list[int], windows: list[int], strides: list[int]
) -> Pads:
    """Elements before and after each spatial axis.

    Args:
        pad_type: valid, custom (as in `pad`), same (the odd one after), same_lower (the odd one before).
        pad: before and after, axis by axis.
        sizes: the input's spatial size.
        windows: extent of the (dilated) kernel.
        strides: step of the kernel.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        given = pad or [0] * (2 * len(sizes))
        return list(zip(given[::2], given[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise UnsupportedError(f"Core ML pad_type {pad_type!r}", "known: valid, custom, same, same_lower")
    found = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        small, large = total // 2, total - total // 2
        found.append((small, large) if pad_type == "same" else (large, small))
    return found


def pad_spatial(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """y = x (N, C, ...) with the spatial axes extended by `value`."""
    import torch.nn.functional as F

    if not any(before or after for before, after in pads):
        return x
    return F.pad(x, [n for before_after in reversed(pads) for n in before_after], value=value)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation; x (N, C_in, ...), weight (C_out, C_in / groups, ...)."""
    import torch.nn.functional as F

    spatial = x.dim() - 2
    strides, dilations = strides or [1] * spatial, dilations or [1] * spatial
    windows = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    pads = paddings(pad_type, pad, list(x.shape[2:]), windows, strides)
    function = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    if all(before == after for before, after in pads):
        return function(x, weight, bias, strides, [before for before, _ in pads], dilations, groups)
    return function(pad_spatial(x, pads), weight, bias, strides, 0, dilations, groups)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: list[int] | None = None,
    output_shape: list[int] | None = None,
    pad_type: str = "valid",
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution; x (N, C_in, ...), weight (C_in, C_out / groups, ...).

    The full result of an axis of n elements is F = (n - 1) stride + window long, window the extent of the
    dilated kernel. Of it the elements from `start` on are kept, size of them, 0 where it has ended:

    - valid: start 0, size F; custom: without `pad` before and after.
    - same: size n stride, start = max(F - size, 0) / 2, rounded down: what a `same` convolution from that
      size pads before. same_lower: rounded up.
    - `output_shape`, the whole shape of the result, replaces size, for `same` before start is computed.

    Source: the operator set's `conv_transpose`; TensorFlow's Conv2DBackpropInput for `same`.
    """
    import torch.nn.functional as F

    spatial = x.dim() - 2
    strides, dilations = strides or [1] * spatial, dilations or [1] * spatial
    windows = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    full = [(n - 1) * s + w for n, s, w in zip(x.shape[2:], strides, windows, strict=True)]
    wanted = output_shape[-spatial:] if output_shape else None
    if pad_type in ("same", "same_lower"):
        sizes = wanted or [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        totals = [max(f - n, 0) for f, n in zip(full, sizes, strict=True)]
        starts = [t // 2 if pad_type == "same" else t - t // 2 for t in totals]
    else:
        pads = paddings(pad_type, pad, list(x.shape[2:]), windows, strides)
        starts = [before for before, _ in pads]
        sizes = wanted or [f - before - after for f, (before, after) in zip(full, pads, strict=True)]
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
    y = function(x, weight, None, strides, 0, 0, groups, dilations)
    y = pad_spatial(y, [(0, max(start + n - f, 0)) for start, n, f in zip(starts, sizes, full, strict=True)])
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True), 2):
        y = y.narrow(axis, start, size)
    return y if bias is None else y + bias.reshape(-1, *[1] * spatial)


OPERATIONS: Final[Kernels] = {"conv": Kernel(conv), "conv_transpose": Kernel(conv_transpose)}
