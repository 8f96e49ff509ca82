"""SmoothQuant: move magnitude per channel from a LayerNorm's output into the linear layers that read it.

Some channels of a LayerNorm's output are tens of times larger than others; one scale for all then leaves few levels for
most. Dividing channel j by s_j and multiplying the weights' input channel j by it changes nothing in float:

    y = W x + b = (W diag(s)) (x / s) + b           x (..., C), W (O, C), s (C,)
    s_j = max|x_j|^alpha / max|W_:j|^(1 - alpha),   alpha = 0.7, then s is divided by its geometric mean

The division costs nothing: it goes into the norm's gamma and beta (C,), both divided by s. max|x_j| is over all tokens
of the calibration images, max|W_:j| over the rows of all layers that read the norm.

1. Linear layers alone read the norm, and their weights are read by such layers alone: folded.
2. Anything else reads it (a residual, attention without a projection): left as it is.
3. A norm without gamma and beta, or one that shares them with another: left as it is.

Source: Xiao et al. 2023, "SmoothQuant", https://arxiv.org/abs/2211.10438, equation 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.program import constants
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

ALPHA = 0.7
# Keeps a dead channel from asking for an infinite factor.
FLOOR = 1e-5


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Divide gamma and beta by s and multiply the next weights' input channels by it: exact.

    s_j = max|x_j|^alpha / max|w_j|^(1 - alpha), SmoothQuant (Xiao et al. 2023, equation 4), with
    w_j over all linear layers that read the norm. A norm that anything else reads too stays.
    """
    import torch

    program = graph.program
    aten = torch.ops.aten
    changed = []
    for norm in program.graph_module.graph.nodes:
        if norm.target is not aten.layer_norm.default or not _only_linear_readers(program, norm):
            continue
        gamma, beta = (_affine_constant(program, norm, index) for index in (2, 3))
        if gamma is None or beta is None:
            continue
        weight_nodes = {reader.args[1] for reader in norm.users}
        weights = {node: constants.value(program, node) for node in weight_nodes}
        largest = (
            torch.stack([w.abs().amax(0) for w in weights.values() if w is not None]).amax(0).clamp(min=FLOOR)
        )
        seen = torch.from_numpy(stats.values[site_of(norm), "channel_absmax"]).clamp(min=FLOOR)
        factor = seen**ALPHA / largest ** (1 - ALPHA)
        factor = factor / factor.log().mean().exp()
        constants.set_value(program, norm.args[2], gamma / factor)
        constants.set_value(program, norm.args[3], beta / factor)
        for node, weight in weights.items():
            assert weight is not None
            constants.set_value(program, node, weight * factor)
        changed.append(site_of(norm))
    return tuple(changed)


def _affine_constant(program: ExportedProgram, norm: torch.fx.Node, index: int) -> torch.Tensor | None:
    node = norm.args[index] if len(norm.args) > index else None
    return constants.value(program, node) if node is not None and len(node.users) == 1 else None


def _only_linear_readers(program: ExportedProgram, norm: torch.fx.Node) -> bool:
    import torch

    linear = torch.ops.aten.linear.default
    return bool(norm.users) and all(
        reader.target is linear
        and reader.args[0] is norm
        and constants.value(program, reader.args[1]) is not None
        and all(user in norm.users for user in reader.args[1].users)
        for reader in norm.users
    )


ALGORITHM = Fold(
    summary="Fold: LayerNorm scales into the next linear layers.", observers=("channel_absmax",), apply=apply
)
