"""Write what NPUs compute in several steps as those steps, so that each step has a range of its own.

    SiLU(x) = x sigmoid(x)            a sigmoid, any shape, and a product

Exact. Group norms become layer norms over each group, which HTP computes exactly where its instance norm does not
(`edgevit.graph.rewrites.group_norm_as_layer_norm`), and resizing the products that the ONNX target writes anyway
(`resize_as_products_onnx`), before ranges are measured and not after. Returns the new sites.
"""

from __future__ import annotations

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph.rewrites import group_norm_as_layer_norm, resize_as_products_onnx
from edgevit.program import edit
from edgevit.program.sites import name_sites, named, site_of


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Split each SiLU, and write group norms and resizing as HTP has them; the sites that came to be."""
    import torch

    aten = torch.ops.aten
    program = graph.program
    group_norm_as_layer_norm.REWRITE.apply(program)
    resize_as_products_onnx.REWRITE.apply(program)
    for node in [n for n in program.graph_module.graph.nodes if n.target is aten.silu.default]:
        value = node.args[0]
        sigmoid = edit.emit(node, aten.sigmoid.default, (value,))
        edit.replace(program, node, edit.emit(node, aten.mul.Tensor, (value, sigmoid)))
    made = [n for n in program.graph_module.graph.nodes if n.op == "call_function" and not named(n)]
    name_sites(program)
    return tuple(site_of(node) for node in made if named(node))


ALGORITHM = Fold(
    summary="Fold: SiLU, group norms and resizing as the steps that NPUs compute (onnx.backend=qnn).",
    observers=(),
    apply=apply,
)
