"""LayerNorm to RMSNorm: leave the mean over the channels out of residual streams (SliceGPT's absorption).

A layer norm first subtracts the mean over the channels, x - mean(x) = M x with M = I - 1 1^T / C, of (C, C). M is
linear, so it can be applied to everything that is added to the stream instead:

    M (a + W h + b) = M a + (M W) h + M b           M W: each column of W (C, inputs) loses its mean, b (C,) its mean

The norm then reads a stream without a mean and computes x / sqrt(mean(x^2) + eps) * gamma + beta: an RMSNorm, two
operators less in TFLite, which has none for the whole norm.

1. A gain per channel between a layer and the stream (LayerScale) goes into the layer first, since M does not commute
   with it.
2. Streams that layer norms alone read are changed; where anything else needs the mean, the stream stays.

Exact up to rounding. Source: Ashkboos et al. 2024, "SliceGPT", https://arxiv.org/abs/2401.15024, section 3.1; the
search for streams is `edgevit.graph.streams`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph import streams
from edgevit.graph.rewrites import fold_layer_scale
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Exact up to rounding, see `edgevit.graph.streams`.

    A gain per channel between a layer and its stream goes into the layer first: an equal mean in front of it would
    be none behind it. Returns the gains that are gone, then the layer norms that need not subtract a mean.
    """
    before = _computed(graph)
    fold_layer_scale.apply(graph.program)
    streams.centre(graph.program)
    after, free = _computed(graph), streams.mean_free_norms(graph.program)
    gains = [site_of(node) for node in before if node not in after]
    return (*gains, *(site_of(node) for node in after if node in free))


def _computed(graph: Graph) -> dict[torch.fx.Node, None]:
    return {node: None for node in graph.program.graph_module.graph.nodes if node.op == "call_function"}


ALGORITHM = Fold(
    summary="Fold: the mean that layer norms subtract out of what residual streams add up (TFLite).",
    observers=(),
    apply=apply,
)
