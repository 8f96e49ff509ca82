"""Write `Tensor.unfold` as one gather of rows per axis: no runtime has it.

HaloNet cuts overlapping windows over both axes at once, which is rank 6 until the next reshape. The gathers keep the
rank of the source; one reshape and one permutation behind them are left, which `simplify_permutes` brings to rank 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of `size` rows of `axis`, one beginning every `step` rows."""

    axis: int
    size: int
    step: int


def apply(program: ExportedProgram) -> int:
    """Of (..., L, ...) along one axis: (..., n, ..., size), n = (L - size) // step + 1; windows in a chain at once."""
    import torch

    unfold = torch.ops.aten.unfold.default
    changed = 0
    for node in reversed(list(program.graph_module.graph.nodes)):
        if node.target is unfold and node.users:
            edit.replace(program, node, _gathered(program, node))
            changed += 1
    program.graph_module.graph.eliminate_dead_code()
    return changed


def _gathered(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    value, windows = _chain(node)
    cut: list[tuple[int, ...]] = [(length,) for length in edit.shape(value)]
    for one in windows:
        length = edit.shape(value)[one.axis]
        count = (length - one.size) // one.step + 1
        rows = (torch.arange(count)[:, None] * one.step + torch.arange(one.size)).reshape(-1)
        if not torch.equal(rows, torch.arange(length)):
            held = constants.add(program, f"{constants.name_for(node)}.rows", rows)
            value = edit.emit(node, aten.index_select.default, (value, one.axis, held))
        cut[one.axis] = (count, one.size)
    begins = [sum(map(len, cut[:axis])) for axis in range(len(cut))]
    order = begins + [begins[one.axis] + 1 for one in windows]
    value = edit.emit(node, aten.reshape.default, (value, [n for axis in cut for n in axis]))
    return edit.emit(node, aten.permute.default, (value, order))


def _chain(node: torch.fx.Node) -> tuple[torch.fx.Node, list[_Windows]]:
    """Where the chain of windows over different axes that ends in `node` begins, and the windows in their order."""
    import torch

    found: list[_Windows] = []
    while node.target is torch.ops.aten.unfold.default:
        given = edit.bound(node, ("self", "dimension", "size", "step"))
        source = given["self"]
        assert isinstance(source, torch.fx.Node)
        axis, rank = edit.axis(source, given["dimension"]), len(edit.shape(source))
        if any(later.axis in (axis, rank) for later in found):
            break  # windows of windows: those inside first
        found.insert(0, _Windows(axis, given["size"], given["step"]))
        node = source
    return node, found


REWRITE = Rewrite(
    summary="Windows of Tensor.unfold as one gather of rows per axis (no runtime has it).",
    order=31,
    apply=apply,
)
