"""Drop arithmetic and moves that leave every value as it is: each is a kernel call on every runtime.

Removed, where shape and type stay what they are:

1. Moves: padding by 0 rows, a slice of the whole axis, a concatenation of one tensor, a repetition by 1.
2. Casts to the type, layout or device that the value has.
3. Arithmetic: x + 0, x - 0, x * 1, x / 1, whether the number is written in the graph or stored as a constant of it.
4. An expansion whose readers are all arithmetic that broadcasts to the same result without it.

Exact, but that x + 0 turns -0.0 into 0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Remove paddings by 0, whole slices, casts to the same type, x + 0, x * 1, and idle expansions.

    Only where shape and type stay what they are. An expansion is idle if it changes nothing, or if all
    that reads it is arithmetic that broadcasts to the same result without it.
    """
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if node.op != "call_function" or not node.args or not edit.is_tensor(node):
            continue
        kept = _unchanged(program, node)
        if kept is None or kept is node:
            continue
        before, after = kept.meta["val"], node.meta["val"]
        if before.dtype == after.dtype and (before.shape == after.shape or _is_broadcast_anyway(node, kept)):
            edit.replace(program, node, kept)
            changed += 1
    graph.eliminate_dead_code()
    return changed


def _unchanged(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node | None:
    """The input that the node passes on, provided that its shape and type are those of the result."""
    import torch

    aten = torch.ops.aten
    first: Any = node.args[0]
    same_shape_is_enough = {
        aten.expand.default,
        aten.repeat.default,
        aten.slice.Tensor,
        aten.narrow.default,
        aten.to.dtype,
        aten.to.dtype_layout,
        aten.to.device,
        aten._to_copy.default,
        aten.type_as.default,
        aten.view_as.default,
        aten.expand_as.default,
        aten.broadcast_to.default,
    }
    if node.target in same_shape_is_enough:
        strided = node.target is aten.slice.Tensor and len(node.args) > 4 and node.args[4] != 1
        return None if strided else first
    if node.target in {aten.pad.default, aten.constant_pad_nd.default}:
        padding: Any = node.args[1]
        return first if all(n == 0 for n in padding) else None
    if node.target is aten.cat.default:
        return first[0] if len(first) == 1 else None
    if node.target in {aten.add.Tensor, aten.sub.Tensor} and not node.kwargs:
        if _is_number(program, node.args[1], 0):
            return first
        return _other(program, node, 0) if node.target is aten.add.Tensor else None
    if node.target in {aten.mul.Tensor, aten.div.Tensor}:
        if _is_number(program, node.args[1], 1):
            return first
        return _other(program, node, 1) if node.target is aten.mul.Tensor else None
    return None


def _is_broadcast_anyway(node: torch.fx.Node, source: torch.fx.Node) -> bool:
    import torch

    aten = torch.ops.aten
    expanding = {aten.expand.default, aten.expand_as.default, aten.broadcast_to.default}
    arithmetic = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}
    if node.target not in expanding or not node.users:
        return False
    for user in node.users:
        if user.target not in arithmetic:
            return False
        shapes = [edit.shape(source if a is node else a) for a in user.args if edit.is_tensor(a)]
        if torch.broadcast_shapes(*shapes) != edit.shape(user):
            return False
    return True


def _other(program: ExportedProgram, node: torch.fx.Node, number: float) -> torch.fx.Node | None:
    """The second input if the first is `number`."""
    second: object = node.args[1]
    return second if edit.is_tensor(second) and _is_number(program, node.args[0], number) else None


def _is_number(program: ExportedProgram, value: object, number: float) -> bool:
    if isinstance(value, int | float):
        return value == number
    constant = constants.value(program, value)
    return constant is not None and bool((constant == number).all())


REWRITE = Rewrite(
    summary="Remove paddings, slices, casts, additions and products that change nothing.",
    order=6,
    apply=apply,
)
