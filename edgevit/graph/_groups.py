"""Group norm by way of a norm that a runtime has an operator for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# (group norm, its input as (N, groups, C / groups * ...), epsilon) -> the same, normalised along the last axis.
Normalise = Callable[["torch.fx.Node", "torch.fx.Node", float], "torch.fx.Node"]


def replace_group_norms(program: ExportedProgram, normalise: Normalise) -> int:
    """Normalise (N, groups, C / groups * ...) along its last axis, then gamma and beta (Wu and He 2018).

    Returns:
        How many group norms there were.
    """
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target is not aten.group_norm.default:
            continue
        given = edit.bound(node, ("x", "groups", "weight", "bias", "eps"))
        shape = edit.shape(node)
        each = math.prod(shape[1:]) // given["groups"]
        value = edit.emit(node, aten.reshape.default, (given["x"], [shape[0], given["groups"], each]))
        value = normalise(node, value, float(given.get("eps", 1e-5)))
        value = edit.emit(node, aten.reshape.default, (value, list(shape)))
        for target, name in ((aten.mul.Tensor, "weight"), (aten.add.Tensor, "bias")):
            if given.get(name) is not None:
                per_channel = [shape[1], *[1] * (len(shape) - 2)]
                factor = edit.emit(node, aten.reshape.default, (given[name], per_channel))
                value = edit.emit(node, target, (value, factor))
        edit.replace(program, node, value)
        changed += 1
    return changed
