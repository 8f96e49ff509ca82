"""Write values that are put into a part of a tensor as a concatenation of what stays and what is new.

`x[:, 1:] = y` is exported as slice_scatter, which runtimes do by scattering each element. Along one axis of n

    slice_scatter(x, y, axis, start, end) = cat(x[:start], y, x[end:])

1. A part that is empty is left out; where all is overwritten, the result is y.
2. copy(x, y) is y, expanded to the shape of x.
3. Every k-th element is written, or y has another type than x: left alone.

Exact: no value is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """slice_scatter(x, y, axis, start, end) = cat(x[:start], y, x[end:]); copy(x, y) is y as large as x."""
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if node.target is aten.copy.default and _same_type(*node.args[:2]):
            made = node.args[1]
            if edit.shape(made) != edit.shape(node):
                made = edit.emit(node, aten.expand.default, (made, list(edit.shape(node))))
        elif node.target is aten.slice_scatter.default:
            found = _joined(node)
            if found is None:
                continue
            made = found
        else:
            continue
        edit.replace(program, node, made)
        changed += 1
    graph.eliminate_dead_code()
    return changed


def _same_type(first: Any, second: Any) -> bool:
    return bool(first.meta["val"].dtype == second.meta["val"].dtype)


def _joined(node: torch.fx.Node) -> torch.fx.Node | None:
    """None where only every n-th element is written."""
    import torch

    aten = torch.ops.aten
    given = edit.bound(node, ("self", "src", "dim", "start", "end", "step"))
    old, new = given["self"], given["src"]
    if given.get("step", 1) != 1 or not _same_type(old, new):
        return None
    axis = edit.axis(old, given.get("dim", 0))
    size = edit.shape(old)[axis]
    start, end, _ = slice(given.get("start"), given.get("end")).indices(size)
    parts = [
        edit.emit(node, aten.slice.Tensor, (old, axis, a, b)) for a, b in ((0, start), (end, size)) if a < b
    ]
    parts.insert(1 if start else 0, new)
    return edit.emit(node, aten.cat.default, (parts, axis)) if len(parts) > 1 else new


REWRITE = Rewrite(
    summary="Values put into a part of a tensor as a concatenation (runtimes scatter each element).",
    order=8,
    apply=apply,
)
