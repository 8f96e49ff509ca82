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
from edgevit.quant.algorithms._spelled_out import spell_out


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Split each SiLU, and write group norms and resizing as HTP has them; the sites that came to be."""
    return spell_out(
        graph.program, group_norm_as_layer_norm.REWRITE.apply, resize_as_products_onnx.REWRITE.apply
    )


ALGORITHM = Fold(
    summary="Fold: SiLU, group norms and resizing as the steps that NPUs compute (onnx.backend=qnn).",
    observers=(),
    apply=apply,
)
