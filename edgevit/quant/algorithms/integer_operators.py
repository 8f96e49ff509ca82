"""Write norms and SiLU as the operators that TFLite has, so that each of them has a range of its own.

    LayerNorm(x) = c rsqrt(mean(c^2) + eps) gamma + beta,   c = x - mean(x)          x (..., C), gamma and beta (C,)
    SiLU(x) = x sigmoid(x)

The TFLite target writes both so anyway (`edgevit.graph.rewrites.expand_norms`; the converter splits a SiLU). A file
without float arithmetic needs a scale for the variance and its root, which are measured and planned on the same graph
that is written. Exact. Returns the new sites.
"""

from __future__ import annotations

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph.rewrites import expand_norms
from edgevit.quant.algorithms._spelled_out import spell_out


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Expand norms and split SiLU; the sites that came to be."""
    return spell_out(graph.program, expand_norms.REWRITE.apply)


ALGORITHM = Fold(
    summary="Fold: norms and SiLU as the operators that TFLite has (tflite.backend=full-int8, ethos-u).",
    observers=(),
    apply=apply,
)
