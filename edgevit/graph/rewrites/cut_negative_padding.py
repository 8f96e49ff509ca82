"""Write constant padding with negative borders as slices and padding: Core ML and TFLite have none that cuts.

`pad` lists (before, after) of the last axis, then of the one in front of it, and so on (torch.nn.functional.pad). Below
0 a border cuts so many rows off. For an axis of n rows with borders (b, a):

    x[max(-b, 0) : n - max(-a, 0)], then max(b, 0) constant rows before it and max(a, 0) behind it

Exact: no value is computed. Padding without a negative border, and other modes, stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """`pad` is (before, after) of the last axis, then of the one in front of it, and so on; below 0 it cuts rows."""
    import torch

    aten = torch.ops.aten
    names = {
        aten.constant_pad_nd.default: ("x", "pad", "value"),
        aten.pad.default: ("x", "pad", "mode", "value"),
    }
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        given = edit.bound(node, names.get(node.target, ()))
        if (
            node.target not in names
            or given.get("mode", "constant") != "constant"
            or min(given["pad"], default=0) >= 0
        ):
            continue
        made, padding = given["x"], given["pad"]
        for i, (before, after) in enumerate(zip(padding[::2], padding[1::2], strict=True)):
            axis = len(edit.shape(made)) - 1 - i
            start, end = max(-before, 0), edit.shape(made)[axis] - max(-after, 0)
            if (start, end) != (0, edit.shape(made)[axis]):
                made = edit.emit(node, aten.slice.Tensor, (made, axis, start, end))
        if max(padding) > 0:
            added = [max(border, 0) for border in padding]
            made = edit.emit(node, aten.constant_pad_nd.default, (made, added, given.get("value") or 0))
        edit.replace(program, node, made)
        changed += 1
    return changed


REWRITE = Rewrite(
    summary="Constant padding with negative borders as slices (Core ML, TFLite).",
    order=228,
    apply=apply,
    targets=("coreml", "tflite"),
)
