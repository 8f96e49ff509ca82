"""What folds share that write operations as their steps, so that each step has a range of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgevit.program import edit
from edgevit.program.sites import name_sites, named, site_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def spell_out(program: ExportedProgram, *rewrites: Callable[[ExportedProgram], int]) -> tuple[str, ...]:
    """Apply `rewrites`, split each SiLU, and name what came to be; returns the new sites."""
    for rewrite in rewrites:
        rewrite(program)
    split_silu(program)
    made = [n for n in program.graph_module.graph.nodes if n.op == "call_function" and not named(n)]
    name_sites(program)
    return tuple(site_of(node) for node in made if named(node))


def split_silu(program: ExportedProgram) -> None:
    """SiLU(x) = x sigmoid(x) as a sigmoid, any shape, and a product. Exact."""
    import torch

    aten = torch.ops.aten
    for node in [n for n in program.graph_module.graph.nodes if n.target is aten.silu.default]:
        value = node.args[0]
        sigmoid = edit.emit(node, aten.sigmoid.default, (value,))
        edit.replace(program, node, edit.emit(node, aten.mul.Tensor, (value, sigmoid)))
