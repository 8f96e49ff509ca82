"""Write group norm as layer norm over each group: Core ML has that operator, and the converter's form has rank 5."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _edit

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Normalise (N, groups, C / groups * ...) along its last axis, then gamma and beta (Wu and He 2018)."""
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target is not aten.group_norm.default:
            continue
        given = _edit.bound(node, ("x", "groups", "weight", "bias", "eps"))
        shape = _edit.shape(node)
        each = math.prod(shape[1:]) // given["groups"]
        value = _edit.emit(node, aten.reshape.default, (given["x"], [shape[0], given["groups"], each]))
        eps = float(given.get("eps", 1e-5))
        value = _edit.emit(node, aten.layer_norm.default, (value, [each], None, None, eps))
        value = _edit.emit(node, aten.reshape.default, (value, list(shape)))
        for target, name in ((aten.mul.Tensor, "weight"), (aten.add.Tensor, "bias")):
            if given.get(name) is not None:
                per_channel = [shape[1], *[1] * (len(shape) - 2)]
                factor = _edit.emit(node, aten.reshape.default, (given[name], per_channel))
                value = _edit.emit(node, target, (value, factor))
        _edit.replace(program, node, value)
        changed += 1
    return changed


REWRITE = Rewrite(
    summary="Group norm as layer norm over each group (Core ML has that operator).",
    order=205,
    apply=apply,
    targets=("coreml",),
)
