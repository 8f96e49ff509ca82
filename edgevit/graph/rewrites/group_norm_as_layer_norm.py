"""Write group norm as layer norm over each group: Core ML has that operator, and the converter's form has rank 5.

Group norm (Wu and He 2018, https://arxiv.org/abs/1803.08494, equation 7) standardises each of G groups of C / G
channels over all pixels. Flattened, a group is one row, and a layer norm standardises rows:

    (N, C, H, W) -> (N, G, C / G * H * W) -> layer norm of the last axis -> (N, C, H, W) -> * gamma + beta

gamma and beta (C,) belong to channels, not to rows, and are applied behind it. Exact up to rounding.
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
    """Layer norm of (N, groups, C / groups * ...), then gamma and beta."""
    return _groups.replace_group_norms(program, _layer_norm)


def _layer_norm(node: torch.fx.Node, value: torch.fx.Node, eps: float) -> torch.fx.Node:
    import torch

    each = edit.shape(value)[-1]
    return edit.emit(node, torch.ops.aten.layer_norm.default, (value, [each], None, None, eps))


REWRITE = Rewrite(
    summary="Group norm as layer norm over each group (Core ML has that operator).",
    order=205,
    apply=apply,
    targets=("coreml",),
)
