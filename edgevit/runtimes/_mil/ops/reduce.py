"""MIL reductions: along `axes`, or along all of them when none are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor

    Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _reduce(compute: Reduction, exact: bool = False) -> Kernel:
    def call(x: Tensor, axes: list[int] | None = None, keep_dims: bool = False) -> Tensor:
        return compute(x, list(range(x.dim())) if axes is None else axes, keep_dims)

    return Kernel(call, exact)


def _product(x: Tensor, axes: list[int], keep_dims: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep_dims)
    return x


def reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    """Index of the largest element along axis; the first of equal ones. `output_dtype`: the caller's."""
    return x.argmax(axis, keepdim=keep_dims)


def reduce_argmin(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    """Index of the smallest element along axis; the first of equal ones. `output_dtype`: the caller's."""
    return x.argmin(axis, keepdim=keep_dims)


OPERATIONS: Final[Kernels] = {
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_mean": _reduce(lambda x, axes, keep: x.float().mean(axes, keepdim=keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep), exact=True),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep), exact=True),
    "reduce_prod": _reduce(_product),
    "reduce_l1_norm": _reduce(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_log_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": _reduce(lambda x, axes, keep: x.float().logsumexp(axes, keepdim=keep)),
    "reduce_sum_square": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "reduce_argmax": Kernel(reduce_argmax, exact=True),
    "reduce_argmin": Kernel(reduce_argmin, exact=True),
}
