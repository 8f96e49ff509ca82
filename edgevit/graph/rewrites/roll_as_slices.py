"""Write a cyclic shift as two slices and a concatenation per axis.

    roll(x, s) along an axis of n = cat(x[n - s :], x[: n - s])        s taken modulo n

The shifted windows of Swin (Liu et al. 2021, https://arxiv.org/abs/2103.14030, figure 4) need it on rows and columns.

1. Several axes: one after the other. A shift by a multiple of n: nothing.
2. No axes given: the shift is over the flattened tensor, reshaped back behind it.

Exact: no value is computed. TFLite and Core ML have no such operator, and the exporter to ONNX computes its indices at
run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Shift by s along an axis of n: elements n - s to n, then 0 to n - s. Shifts by a multiple of n vanish."""
    import torch

    roll = torch.ops.aten.roll.default
    graph = program.graph_module.graph
    found = [n for n in graph.nodes if n.target is roll]
    for node in found:
        given = edit.bound(node, ("self", "shifts", "dims"))
        source, shifts, dims = given["self"], given["shifts"], given.get("dims") or ()
        flat = not dims
        value = source
        if flat:
            value = edit.emit(node, torch.ops.aten.reshape.default, (source, [-1]))
            dims = (0,)
        for shift, dim in zip(shifts, dims, strict=True):
            value = _shift(node, value, edit.axis(value, dim), shift)
        if flat:
            value = edit.emit(node, torch.ops.aten.reshape.default, (value, list(edit.shape(source))))
        edit.replace(program, node, value)
    return len(found)


def _shift(before: torch.fx.Node, value: torch.fx.Node, axis: int, shift: int) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    size = edit.shape(value)[axis]
    cut = -shift % size
    if cut == 0:
        return value
    tail = edit.emit(before, aten.slice.Tensor, (value, axis, cut, size))
    head = edit.emit(before, aten.slice.Tensor, (value, axis, 0, cut))
    return edit.emit(before, aten.cat.default, ([tail, head], axis))


REWRITE = Rewrite(
    summary="Cyclic shifts as slices and one concatenation per axis (no runtime has an operator for them).",
    order=32,
    apply=apply,
)
