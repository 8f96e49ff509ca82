"""Reflected, repeated and circular borders as one gather of rows per axis."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

MODES: Final = ("reflect", "replicate", "circular")
_KINDS: Final = {"reflection_pad": "reflect", "replication_pad": "replicate"}


def gather(program: ExportedProgram, modes: Collection[str]) -> int:
    """Replace what is read beyond the ends of an axis of n rows by the row that stands for it.

    reflect: row 1 for -1, n - 2 for n. replicate: 0 and n - 1. circular: n - 1 and 0. Negative padding cuts.

    Returns:
        How many operators of these modes were replaced.
    """
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        mode = _mode(node)
        if mode in modes:
            edit.replace(program, node, _gathered(program, node, mode))
            changed += 1
    return changed


def _mode(node: torch.fx.Node) -> str:
    target: Any = node.target
    if node.op != "call_function" or getattr(target, "namespace", "") != "aten":
        return ""
    name = target.overloadpacket.__name__
    if name == "pad":
        return str(edit.bound(node, ("x", "pad", "mode")).get("mode", "constant"))
    return _KINDS.get(name[:-2], "")


def _gathered(program: ExportedProgram, node: torch.fx.Node, mode: str) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    made: Any = node.args[0]
    padding: Any = node.args[1]
    rank = len(edit.shape(made))
    # An image channels last, as TFLite's operators leave it: the permutations cancel.
    is_image = rank == len(padding) == 4
    order = [0, 2, 3, 1] if is_image else list(range(rank))
    if is_image:
        made = edit.emit(node, aten.permute.default, (made, order))
    for i, (before, after) in enumerate(zip(padding[::2], padding[1::2], strict=True)):
        if before == after == 0:
            continue
        axis = order.index(rank - 1 - i)
        rows = _rows(edit.shape(made)[axis], before, after, mode)
        held = constants.add(program, f"{constants.name_for(node)}.rows", rows)
        made = edit.emit(node, aten.index_select.default, (made, axis, held))
    if is_image:
        made = edit.emit(node, aten.permute.default, (made, [0, 3, 1, 2]))
    return made


def _rows(size: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Which row of the axis each row of the result is, int64: what PyTorch's own operator makes of their numbers."""
    import torch

    numbers = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    return torch.nn.functional.pad(numbers, (before, after), mode).reshape(-1).long()
