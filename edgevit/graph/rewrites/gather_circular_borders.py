"""Write circular borders as one gather of rows per axis: Core ML has no such padding.

Beyond the last row of an axis of n comes the first again: with b rows before, row i of the result is row (i - b) mod n
of the source. That is an index per axis, known when the file is written:

    y = index_select(x, axis, [n - b, ..., n - 1, 0, ..., n - 1, 0, ..., a - 1])

1. Negative borders cut rows; the indices are made by PyTorch's own padding of 0 .. n - 1, which knows that.
2. Axes are done one after the other, the last one first, as torch.nn.functional.pad lists them.

Exact: no value is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """What is read beyond the last row of an axis is its first, and the other way round. Negative padding cuts."""
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        given = edit.bound(node, ("x", "pad", "mode"))
        if node.target is not aten.pad.default or given.get("mode") != "circular":
            continue
        made, padding = given["x"], given["pad"]
        for i, (before, after) in enumerate(zip(padding[::2], padding[1::2], strict=True)):
            axis = len(edit.shape(made)) - 1 - i
            rows = _rows(edit.shape(made)[axis], before, after)
            held = constants.add(program, f"{constants.name_for(node)}.rows", rows)
            made = edit.emit(node, aten.index_select.default, (made, axis, held))
        edit.replace(program, node, made)
        changed += 1
    return changed


def _rows(size: int, before: int, after: int) -> torch.Tensor:
    """Which row of the axis each row of the result is, int64: what PyTorch's own operator makes of their numbers."""
    import torch

    numbers = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    return torch.nn.functional.pad(numbers, (before, after), "circular").reshape(-1).long()


REWRITE = Rewrite(
    summary="Circular borders as one gather of rows per axis (Core ML).",
    order=232,
    apply=apply,
    targets=("coreml",),
)
