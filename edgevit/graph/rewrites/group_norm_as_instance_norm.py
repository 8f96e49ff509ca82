"""Write group norm as instance norm over each group: ONNX Runtime's CPU provider has a kernel for that one.

Group norm (Wu and He 2018, https://arxiv.org/abs/1803.08494, equation 7) standardises each of G groups of C / G
channels over all pixels. With each group as one channel it is an instance norm:

    (N, C, H, W) -> (N, G, C / G * H * W) -> instance norm -> (N, C, H, W) -> * gamma + beta

gamma and beta (C,) belong to the channels and are applied behind it. Exact up to rounding.

For GroupNormalization ONNX Runtime has no CPU kernel and executes the operator's definition instead, 29 small operators
by its profiler (ONNX Runtime 1.32), most of which compute shapes. Layer norm would do too, but ONNX's has a gamma for
each value of the last axis, which is a whole image here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _groups
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Instance norm of (N, groups, C / groups * ...), then gamma and beta.

    Layer norm would do too, but ONNX's has a gamma for each value of the last axis, which is a whole image here.
    """
    return _groups.replace_group_norms(program, _instance_norm)


def _instance_norm(node: torch.fx.Node, value: torch.fx.Node, eps: float) -> torch.fx.Node:
    import torch

    given = (value, None, None, None, None, True, 0.1, eps, False)
    return edit.emit(node, torch.ops.aten.instance_norm.default, given)


REWRITE = Rewrite(
    summary="Group norm as instance norm over each group (ONNX Runtime has a kernel for it).",
    order=205,
    apply=apply,
    targets=("onnx",),
)
