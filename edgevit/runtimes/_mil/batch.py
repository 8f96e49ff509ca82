"""The axis of images in front of a batch-1 program's own axes, without `torch.vmap` where that is simple.

vmap costs about a tenth of a millisecond for each operation. Most operations need none: they work
element by element, or on axes that can as well be counted from the right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

_FROM_THE_RIGHT: Final = {
    *("softmax", "concat", "stack", "split", "layer_norm", "gather"),
    *("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_l2_norm", "reduce_sum_square"),
}
_ALL_AXES: Final = {name for name in _FROM_THE_RIGHT if name.startswith("reduce") or name == "layer_norm"}
_SHAPES: Final = {"reshape", "reshape_like", "flatten2d", "squeeze", "expand_dims"}
_ITEMS: Final = {"conv", "conv_transpose", "batch_norm", "instance_norm", "max_pool", "avg_pool"}
_UNCHANGED: Final = {"linear", "pad", "crop"}


def with_images(
    operation: str,
    function: Callable[..., Any],
    fixed: Mapping[str, Any],
    ranks: Mapping[str, tuple[int, ...]],
    shape: tuple[int, ...],
) -> tuple[Callable[..., Any], Mapping[str, Any]] | None:
    """The function and its constants for run-time inputs with one more axis in front; None: vmap has to do it.

    Args:
        fixed: parameter -> constant.
        ranks: run-time parameter -> rank in the program of each value that it takes.
        shape: of the first output in the program.
    """
    alone = set(ranks) <= {"x", "values"}
    if operation in _SHAPES and all(isinstance(size, Integral) for size in shape):  # none is symbolic
        return partial(_reshaped, shape=shape), {}
    if not alone:
        return None
    rank = next(iter(ranks.values()))[0]
    if operation in _ITEMS:
        return partial(_item_by_item, function), fixed
    if operation in _UNCHANGED:
        return function, fixed
    if operation == "transpose":
        return function, {"perm": [0, *(axis % rank + 1 for axis in fixed["perm"])]}
    if operation == "slice_by_index":
        return function, {**fixed, **_all_images(fixed)}
    if operation in _FROM_THE_RIGHT and not fixed.get("batch_dims"):
        return function, _axes_from_the_right(operation, fixed, rank, len(shape))
    return None


def broadcasts(fixed: Mapping[str, Any], ranks: Mapping[str, tuple[int, ...]], least: int = 0) -> bool:
    """Whether inputs broadcast with one more axis in front as they do without: no one has fewer axes.

    Constants, which do not get that axis, may have fewer; with `least` all must have so many.
    """
    found = {rank for several in ranks.values() for rank in several}
    constants = [value.dim() for value in fixed.values() if hasattr(value, "dim")]
    return (
        len(found) == 1 and max(constants, default=0) <= min(found) and min(*found, *constants, 99) >= least
    )


def _reshaped(x: Tensor, shape: tuple[int, ...], **_: Any) -> Tensor:
    return x.reshape(x.shape[0], *shape)


def _item_by_item(function: Callable[..., Tensor], x: Tensor, **fixed: Any) -> Tensor:
    """Images and the program's own batch axis as one."""
    y = function(x.flatten(0, 1), **fixed)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def _all_images(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds of a slice with one more axis in front, of which everything is taken."""
    count = len(fixed["begin"])
    masks = {n: fixed.get(n) or [False] * count for n in ("begin_mask", "end_mask", "squeeze_mask")}
    return {
        "begin": [0, *fixed["begin"]],
        "end": [0, *fixed["end"]],
        "stride": [1, *(fixed.get("stride") or [1] * count)],
        "begin_mask": [True, *masks["begin_mask"]],
        "end_mask": [True, *masks["end_mask"]],
        "squeeze_mask": [False, *masks["squeeze_mask"]],
    }


def _axes_from_the_right(operation: str, fixed: Mapping[str, Any], rank: int, result: int) -> dict[str, Any]:
    count = result if operation == "stack" else rank
    moved = dict(fixed)
    if operation == "gather":
        moved.setdefault("axis", 0)
    if "axis" in moved:
        moved["axis"] = moved["axis"] % count - count
    if operation in _ALL_AXES:
        axes = moved.get("axes")
        moved["axes"] = [a % count - count for a in (range(count) if axes is None else axes)]
    return moved
