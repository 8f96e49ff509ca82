"""Write norms and SiLU as the operators that TFLite has, so that each of them has a range of its own.

    LayerNorm(x) = c rsqrt(mean(c^2) + eps) gamma + beta,   c = x - mean(x)          x (..., C), gamma and beta (C,)
    SiLU(x) = x sigmoid(x)

The TFLite target writes both so anyway (`edgevit.graph.rewrites.expand_norms`; the converter splits a SiLU). A file
without float arithmetic needs a scale for the variance and its root, which are measured and planned on the same graph
that is written. Exact. Returns the new sites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph.rewrites import expand_norms
from edgevit.program import edit
from edgevit.program.sites import name_sites, named, site_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Expand norms and split SiLU; the sites that came to be."""
    program = graph.program
    expand_norms.REWRITE.apply(program)
    _split_silu(program)
    made = [n for n in program.graph_module.graph.nodes if n.op == "call_function" and not named(n)]
    name_sites(program)
    return tuple(site_of(node) for node in made)


def _split_silu(program: ExportedProgram) -> None:
    import torch

    aten = torch.ops.aten
    for node in [n for n in program.graph_module.graph.nodes if n.target is aten.silu.default]:
        value = node.args[0]
        sigmoid = edit.emit(node, aten.sigmoid.default, (value,))
        edit.replace(program, node, edit.emit(node, aten.mul.Tensor, (value, sigmoid)))


ALGORITHM = Fold(
    summary="Fold: norms and SiLU as the operators that TFLite has (tflite.backend=full-int8, ethos-u).",
    observers=(),
    apply=apply,
)
