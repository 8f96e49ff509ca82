"""Add two constants once instead of one after the other: a position bias and a mask are one table.

    (x + a) + b = x + (a + b)        x (..., tokens, tokens), a and b constants that broadcast against it

Attention with a relative position bias and a window mask (Liu et al. 2021, Swin, equation 4) adds both to its scores.
A fused attention operator takes one additive mask only, and each addition over tokens x tokens costs a pass.

1. Nobody else reads x + a: the sum of the constants is computed in float64 and stored in the type of the result.
2. The joined table takes more than 16 MB, because a and b broadcast along different axes: left alone.

Exact up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# The joined table may be larger than both; it is stored only up to here.
MAX_BYTES = 16 << 20


def apply(program: ExportedProgram) -> int:
    """(x + a) + b = x + (a + b) for constants a and b, exact up to rounding; nobody else may read x + a."""
    import torch

    add = torch.ops.aten.add.Tensor
    graph = program.graph_module.graph
    joined = 0
    for node in list(graph.nodes):
        if node.target is not add or node.kwargs:
            continue
        inner, outer = _parts(program, node)
        if inner is None or outer is None or inner.target is not add or inner.kwargs or len(inner.users) != 1:
            continue
        value, first = _parts(program, inner)
        if value is None or first is None:
            continue
        table = first.double() + outer.double()
        if table.numel() * 4 > MAX_BYTES:
            continue
        made = constants.add(program, constants.name_for(node), table.to(node.meta["val"].dtype))
        edit.replace(program, node, edit.emit(node, add, (value, made)))
        joined += 1
    graph.eliminate_dead_code()
    return joined


def _parts(program: ExportedProgram, node: torch.fx.Node) -> tuple[torch.fx.Node | None, torch.Tensor | None]:
    """What changes and the constant that is added to it."""
    for value, constant in (node.args[:2], node.args[1::-1]):
        found = constants.value(program, constant)
        if edit.is_tensor(value) and found is not None and found.is_floating_point():
            return value, found
    return None, None


REWRITE = Rewrite(
    summary="A position bias and a mask as one table (fused attention takes one; one addition less).",
    order=54,
    apply=apply,
)
