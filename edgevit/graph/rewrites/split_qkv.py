"""Cut a projection's channels into q, k and v before they are spread over heads, not behind it.

timm's attention reshapes (B, N, 3 H D) to (B, N, 3, H, D), permutes to (3, B, H, N, D) and takes q, k and v along the
first axis: rank 5, which TFLite and Core ML run slowly or not at all. Part i of it is also

    permute(reshape(x[..., i H D : (i + 1) H D], (B, N, H, D)))

A select, slice, unbind, split or chunk is moved in front of the reshapes and permutations before it:

1. It takes a contiguous range of one axis of the chain's source: moved, and the chain behind it has one axis less.
2. It takes every n-th element, or its range is not contiguous in the source: left alone.

Contiguous slices of a linear layer's output cost next to nothing. Exact: no value is computed.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.graph import _chains
from edgevit.program import edit
from edgevit.program import layout as _layout

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True)
class _Cut:
    """`start` to `start + length` along `axis` of `tensor`; `drop` if the axis goes away."""

    tensor: torch.fx.Node
    axis: int
    start: int
    length: int
    drop: bool


def apply(program: ExportedProgram) -> int:
    """Move each select, slice, unbind, split and chunk in front of the reshapes and permutations before it.

    Only where the part is a contiguous range of one axis of the chain's source.
    """
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        cut = _cut(node)
        if cut is not None and _move(program, node, cut):
            changed += 1
    graph.eliminate_dead_code()
    return changed


def _cut(node: torch.fx.Node) -> _Cut | None:
    import torch

    aten = torch.ops.aten
    if node.op != "call_function":
        return None
    if node.target is aten.select.int:
        tensor, axis, index = node.args
        return _made(tensor, axis, index, 1, drop=True)
    if node.target is aten.slice.Tensor:
        given = edit.bound(node, ("self", "dim", "start", "end", "step"))
        if given.get("step", 1) != 1:
            return None
        axis = edit.axis(given["self"], given.get("dim", 0))
        return _made(given["self"], axis, given.get("start") or 0, edit.shape(node)[axis])
    if node.target is operator.getitem:
        parts, index = node.args
        assert isinstance(parts, torch.fx.Node) and isinstance(index, int)
        if parts.target is aten.unbind.int:
            return _made(parts.args[0], parts.args[1] if len(parts.args) > 1 else 0, index, 1, drop=True)
        if parts.target in {aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default}:
            axis = parts.args[2] if len(parts.args) > 2 else parts.kwargs.get("dim", 0)
            lengths = [int(v.shape[axis]) for v in parts.meta["val"]]
            return _made(parts.args[0], axis, sum(lengths[:index]), lengths[index])
    return None


def _made(tensor: Any, axis: Any, start: int, length: int, drop: bool = False) -> _Cut:
    axis = edit.axis(tensor, axis)
    size = edit.shape(tensor)[axis]
    return _Cut(tensor, axis, start % size if start < 0 else start, length, drop)


def _move(program: ExportedProgram, node: torch.fx.Node, cut: _Cut) -> bool:
    import torch

    chain = _chains.links(cut.tensor)
    if not chain:
        return False
    source: Any = chain[-1].args[0]
    layout = _chains.layout_between(source, chain)
    if layout is None:
        return False
    layout = _layout.merged(layout, within_axes=True)
    shape = edit.shape(source)
    if len(layout.dims[cut.axis]) != 1:
        return False
    (factor,) = layout.dims[cut.axis]
    place = _axis_that_begins_with(shape, layout.sizes, factor)
    if place is None:
        return False
    axis, inner = place
    sliced = edit.emit(
        node,
        torch.ops.aten.slice.Tensor,
        (source, axis, cut.start * inner, (cut.start + cut.length) * inner),
        like=source,
    )
    left = _without(layout, factor, cut.length)
    result = edit.shape(node)
    edit.replace(program, node, _chains.write(sliced, left, result, node, like=cut.tensor))
    return True


def _axis_that_begins_with(
    shape: tuple[int, ...], sizes: tuple[int, ...], factor: int
) -> tuple[int, int] | None:
    """The source axis whose outermost factor it is, and the product of those further in."""
    outside, begin = 1, 1
    for size in sizes[:factor]:
        outside *= size
    for axis, length in enumerate(shape):
        if begin == outside and length > 1:
            return (axis, length // sizes[factor]) if length % sizes[factor] == 0 else None
        begin *= length
    return None


def _without(layout: _layout.Layout, factor: int, length: int) -> _layout.Layout:
    """The layout with `length` instead of the factor's size; a factor of 1 is none."""
    if length > 1:
        return _layout.Layout((*layout.sizes[:factor], length, *layout.sizes[factor + 1 :]), layout.dims)
    sizes = (*layout.sizes[:factor], *layout.sizes[factor + 1 :])
    dims = tuple(tuple(i - (i > factor) for i in dim if i != factor) for dim in layout.dims)
    return _layout.Layout(sizes, dims)


REWRITE = Rewrite(
    summary="Slice q, k and v from a projection's channels, not behind a tensor of rank 5 (TFLite, Core ML).",
    order=40,
    apply=apply,
)
