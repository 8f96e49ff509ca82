"""MIL operations that pick by value: gather, sort, one-hot; and those that make tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.runtimes._mil.kernel import Kernel, Kernels
from edgevit.runtimes._mil.ops.indices import places

if TYPE_CHECKING:
    from torch import Tensor


def gather(
    x: Tensor,
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool | None = None,
) -> Tensor:
    """y[p.., i.., q..] = x[p.., indices[i..], q..]: slices of x along `axis`.

    The result has the shape x.shape[:axis] + indices.shape[batch_dims:] + x.shape[axis + 1:]; the first
    `batch_dims` axes of x and of indices are the same axes. Indices as in `places`.
    """
    axis %= x.dim()
    return _slices(x, places(indices, x.shape[axis], validate_indices), axis, batch_dims)


def _slices(x: Tensor, chosen: Tensor, axis: int, batch_dims: int) -> Tensor:
    import torch

    if batch_dims > 0:
        return torch.vmap(lambda a, i: _slices(a, i, axis - 1, batch_dims - 1))(x, chosen)
    y = x.index_select(axis, chosen.reshape(-1))
    return y.reshape((*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :]))


def gather_along_axis(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool | None = None
) -> Tensor:
    """y[p.., i, q..] = x[p.., indices[p.., i, q..], q..], i on `axis`; the result has the shape of indices.

    Indices as in `places`.
    """
    return x.gather(axis, places(indices, x.shape[axis], validate_indices))


def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool | None = None
) -> Tensor:
    """y[i..] = x[indices[i.., 0], indices[i.., 1], ..]: elements of x, or slices with fewer coordinates.

    The first `batch_dims` axes of x and of indices are the same axes. Indices as in `places`.
    """
    import torch

    sizes = x.shape[batch_dims:]
    coordinates = [places(c, sizes[n], validate_indices) for n, c in enumerate(indices.unbind(-1))]
    return _elements(x, torch.stack(coordinates, -1), batch_dims)


def _elements(x: Tensor, coordinates: Tensor, batch_dims: int) -> Tensor:
    import torch

    if batch_dims > 0:
        return torch.vmap(lambda a, i: _elements(a, i, batch_dims - 1))(x, coordinates)
    return x[coordinates.unbind(-1)]


def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: float = 1,
    off_value: float = 0,
) -> Tensor:
    """y[.., k, ..] = on_value where k is the index at that place, else off_value, with k on a new axis.

    Args:
        indices: any shape, integers.
    """
    import torch

    axis %= indices.dim() + 1
    places = torch.arange(one_hot_vector_size).reshape(-1, *[1] * (indices.dim() - axis))
    hit = indices.long().unsqueeze(axis) == places
    return torch.where(hit, torch.tensor(on_value), torch.tensor(off_value))


def topk(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:
    """The k largest (ascending: smallest) along an axis, sorted, and their indices; k = -1 takes all."""
    values, indices = x.topk(x.shape[axis] if k == -1 else k, axis, largest=not ascending)
    return (values, indices) if return_indices else (values,)


def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    """y, integers of the shape of x: which element of x comes k-th along `axis`; equal elements keep their order."""
    return x.argsort(dim=axis, descending=not ascending, stable=True)


def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """y[.., k, ..] = x[.., 0, ..] + ... + x[.., k, ..] along `axis`.

    Args:
        exclusive: without x[.., k, ..] itself, so that the first sum is 0.
        reverse: from the end of the axis.
    """
    x = x.flip(axis) if reverse else x
    y = x.cumsum(axis)
    y = y - x if exclusive else y
    return y.flip(axis) if reverse else y


def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """Zero outside of the band of so many sub- and superdiagonals of the last two axes; -1 keeps all."""
    import torch

    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])[None, :]
    below = torch.tensor(True) if lower < 0 else rows - columns <= lower
    above = torch.tensor(True) if upper < 0 else columns - rows <= upper
    return torch.where(below & above, x, torch.zeros_like(x))


def fill(shape: list[int], value: float = 0.0) -> Tensor:
    """y of this shape, with `value` at every place; float32, or the type of the value."""
    import torch

    return torch.full(shape, value)


def fill_like(ref_tensor: Tensor, value: float = 0.0) -> Tensor:
    """y of the shape of `ref_tensor`, with `value` at every place."""
    import torch

    return torch.full(ref_tensor.shape, value)


def range_1d(end: float, start: float, step: float) -> Tensor:
    """y (n,) = start, start + step, start + 2 step, ... as long as it is below end (above it for a negative step)."""
    import torch

    return torch.arange(start, end, step)


def shape(x: Tensor) -> Tensor:
    """The sizes of x's axes, int32."""
    import torch

    return torch.tensor(list(x.shape), dtype=torch.int32)


OPERATIONS: Final[Kernels] = {
    "gather": Kernel(gather, exact=True, by_value=("indices",)),
    "gather_along_axis": Kernel(gather_along_axis, exact=True, by_value=("indices",)),
    "gather_nd": Kernel(gather_nd, exact=True, by_value=("indices",)),
    "one_hot": Kernel(one_hot),
    "topk": Kernel(topk, exact=True),
    "argsort": Kernel(argsort, exact=True),
    "cumsum": Kernel(cumsum),
    "band_part": Kernel(band_part, exact=True),
    "fill": Kernel(fill),
    "fill_like": Kernel(fill_like),
    "range_1d": Kernel(range_1d),
    "shape": Kernel(shape, exact=True),
}
