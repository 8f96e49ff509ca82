"""MIL operations that move elements by position: reshape, transpose, slice, join, pad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def _take(x: Tensor, axis: int, positions: list[int]) -> Tensor:
    import torch

    return x.index_select(axis, torch.tensor(positions, dtype=torch.int64))


def reshape(x: Tensor, shape: list[int]) -> Tensor:
    """y holds the elements of x, in row-major order, in another shape.

    Args:
        shape: sizes of y; at most one -1, which takes what is left, and 0 for the size of x's axis at the same place
            counted from the right (iOS 17: `reshape`).
    """
    rank, own = len(shape), list(x.shape)
    sizes = [n if n != 0 else (own[i - rank] if rank - i <= len(own) else 1) for i, n in enumerate(shape)]
    return x.reshape(sizes)


def reshape_like(
    x: Tensor,
    ref_tensors: tuple[Tensor, ...],
    begins: list[int],
    ends: list[int],
    end_masks: list[bool],
) -> Tensor:
    """y holds the elements of x in a shape that is put together from the shapes of other tensors.

    Args:
        ref_tensors: for each, `shape[begin:end]` is one part of y's shape; the parts follow one another.
        begins, ends: one bound for each of them, counted from the end where negative.
        end_masks: True takes all axes from `begin` on.
    """
    sizes: list[int] = []
    for other, begin, end, to_end in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += other.shape[begin : None if to_end else end]
    return x.reshape(sizes)


def transpose(x: Tensor, perm: list[int]) -> Tensor:
    """y[i_perm[0], i_perm[1], ...] = x[i_0, i_1, ...]: axis k of y is axis perm[k] of x.

    Args:
        perm: each axis of x once, negative ones counted from the end.
    """
    return x.permute(perm)


def expand_dims(x: Tensor, axes: list[int]) -> Tensor:
    """y has the elements of x and an axis of size 1 at each of `axes`.

    Args:
        axes: places in the result: (3, 4) with [0, 2] becomes (1, 3, 1, 4).
    """
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """y has the elements of x without the axes of size 1 that `axes` names, without all of them where it is None."""
    chosen = [a for a in range(x.dim()) if x.shape[a] == 1] if axes is None else [a % x.dim() for a in axes]
    return x.reshape([n for axis, n in enumerate(x.shape) if axis not in chosen])


def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    """y is a matrix: its rows run over the axes of x before `axis`, its columns over `axis` and those behind it."""
    before = x.shape[:axis].numel()
    return x.reshape(before, -1)


def slice_by_index(
    x: Tensor,
    begin: list[int],
    end: list[int],
    stride: list[int] | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    """x[begin:end:stride] on every axis; a mask leaves a bound open or takes the single element at begin."""
    squeezed = squeeze_mask or [False] * x.dim()
    for axis in range(x.dim()):
        size = x.shape[axis]
        if squeezed[axis]:
            x = x.narrow(axis, begin[axis] % size, 1)
            continue
        first = None if begin_mask and begin_mask[axis] else begin[axis]
        last = None if end_mask and end_mask[axis] else end[axis]
        places = range(size)[slice(first, last, stride[axis] if stride else 1)]
        if places == range(size):
            continue
        if places.step == 1:
            x = x.narrow(axis, places.start, len(places))
        else:
            x = _take(x, axis, list(places))
    return x.reshape([n for axis, n in enumerate(x.shape) if not squeezed[axis]]) if any(squeezed) else x


def slice_by_size(x: Tensor, begin: list[int], size: list[int]) -> Tensor:
    """y = x[begin_k : begin_k + size_k] along each axis k.

    Args:
        begin: one start for each axis.
        size: one length for each axis; -1 takes all from `begin` on.
    """
    for axis, (start, count) in enumerate(zip(begin, size, strict=True)):
        start %= max(x.shape[axis], 1)
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x


def concat(values: tuple[Tensor, ...], axis: int, interleave: bool = False) -> Tensor:
    """y is all values, which agree in every other axis, one behind the other along `axis`.

    Args:
        interleave: they take turns instead: a[0], b[0], a[1], b[1], ...; all have the same size then.
    """
    import torch

    if not interleave:
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def stack(values: tuple[Tensor, ...], axis: int) -> Tensor:
    """y[.., k, ..] = values[k], with k on a new axis at `axis`; the values have one shape."""
    import torch

    return torch.stack(values, axis)


def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: list[int] | None = None
) -> tuple[Tensor, ...]:
    """Pieces of these sizes, or so many equal ones, along an axis."""
    if split_sizes is None:
        if not num_splits:
            raise UnsupportedError(
                "Core ML operation 'split' without num_splits or split_sizes",
                "give one of them when the program is made",
            )
        split_sizes = [x.shape[axis] // num_splits] * num_splits
    pieces: tuple[Tensor, ...] = x.split(split_sizes, axis)
    return pieces


def _edge_positions(size: int, before: int, after: int, mode: str) -> list[int]:
    if mode == "replicate":
        return [min(max(i, 0), size - 1) for i in range(-before, size + after)]
    return [size - 1 - abs(size - 1 - abs(i)) for i in range(-before, size + after)]


def pad(x: Tensor, pad: list[int], mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Extend the last axes: pad[2i] before and pad[2i + 1] after the i-th of them.

    Modes: constant, reflect (the edge element is not repeated), replicate (the edge element is).
    """
    import torch.nn.functional as F

    if mode not in ("constant", "reflect", "replicate"):
        known = "known: constant, reflect, replicate"
        raise UnsupportedError(f"Core ML operation 'pad' in mode {mode!r}", known)
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    if mode == "constant":
        return F.pad(x, [n for pair in reversed(pairs) for n in pair], value=constant_val)
    first = x.dim() - len(pairs)
    for axis, (before, after) in enumerate(pairs, first):
        if before or after:
            x = _take(x, axis, _edge_positions(x.shape[axis], before, after, mode))
    return x


def tile(x: Tensor, reps: list[int]) -> Tensor:
    """y is x repeated reps[k] times along axis k: size n_k becomes n_k * reps[k]."""
    for axis, count in enumerate(reps):
        x = x if count == 1 else _take(x, axis, list(range(x.shape[axis])) * count)
    return x


def reverse(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """Mirror along these axes, or all."""
    return x.flip(list(range(x.dim())) if axes is None else axes)


def crop(x: Tensor, crop_height: list[int], crop_width: list[int]) -> Tensor:
    """Cut off so many rows at the top and bottom and columns at the left and right; x (..., H, W)."""
    height, width = x.shape[-2:]
    x = x.narrow(-2, crop_height[0], height - sum(crop_height))
    return x.narrow(-1, crop_width[0], width - sum(crop_width))


def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    """All windows of `size` along an axis, as a new axis behind it."""
    axis %= x.dim()
    count = (x.shape[axis] - size) // stride + 1
    places = [window * stride + i for window in range(count) for i in range(size)]
    windows = _take(x, axis, places)
    return windows.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])


def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """Channel (row, column, c) becomes the pixel (row, column) of a block of channel c; x (N, C, H, W)."""
    n, channels, height, width = x.shape
    b = block_size
    y = x.reshape(n, b, b, channels // (b * b), height, width).permute(0, 3, 4, 1, 5, 2)
    return y.reshape(n, channels // (b * b), height * b, width * b)


def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    """The inverse of depth_to_space."""
    n, channels, height, width = x.shape
    b = block_size
    y = x.reshape(n, channels, height // b, b, width // b, b).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, channels * b * b, height // b, width // b)


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Channel (c, row, column) becomes the pixel (row, column) of a block of channel c; x (N, C, H, W)."""
    import torch.nn.functional as F

    return F.pixel_shuffle(x, upscale_factor)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of pixel_shuffle."""
    import torch.nn.functional as F

    return F.pixel_unshuffle(x, downscale_factor)


_ALL = (
    reshape,
    reshape_like,
    transpose,
    expand_dims,
    squeeze,
    flatten2d,
    slice_by_index,
    slice_by_size,
    concat,
    stack,
    split,
    tile,
    reverse,
    crop,
    sliding_windows,
    depth_to_space,
    space_to_depth,
    pixel_shuffle,
    pixel_unshuffle,
)

OPERATIONS: Final[Kernels] = {
    **{function.__name__: Kernel(function, exact=True) for function in _ALL},
    "pad": Kernel(pad),
}
