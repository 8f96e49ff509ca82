"""Fold LayerScale and other constant gains per channel into the layer in front of them.

    gamma * (W x + b) = (gamma W) x + gamma b      W (C, inputs), b and gamma (C,)

LayerScale is Touvron et al. 2021, https://arxiv.org/abs/2103.17239, equation 4: one multiplication per residual branch
and token. Reshapes and permutations may lie between the layer and the product, as long as the channels stay one axis
and nobody else reads the layer's output or its weights.

1. Float files: folded, computed in float64, exact up to rounding.
2. Files with a plan: left alone, because the weights without the gain are those that were rounded, and behind an
   integer output the gain is a scale per channel, which costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _layers
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """gamma * (W x + b) = (gamma W) x + gamma b (Touvron et al. 2021, equation 4), exact up to rounding.

    Only where nobody else reads the layer's output or its weights; reshapes and permutations between
    the layer and the multiplication are allowed as long as the channels stay one axis.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    folded = 0
    for node in list(graph.nodes):
        if node.target is not aten.mul.Tensor:
            continue
        for value, constant in (node.args[:2], node.args[1::-1]):
            gain = constants.value(program, constant)
            if gain is not None and edit.is_tensor(value) and _fold(program, node, value, gain):
                folded += 1
                break
    graph.eliminate_dead_code()
    return folded


def _fold(program: ExportedProgram, node: torch.fx.Node, value: object, gain: torch.Tensor) -> bool:
    import torch

    assert isinstance(value, torch.fx.Node)
    if edit.shape(value) != edit.shape(node) or not gain.is_floating_point():
        return False
    found = _layers.layer_before(value)
    if found is None:
        return False
    layer, axis = found
    shape = edit.shape(node)
    wide = gain.reshape((1,) * (len(shape) - gain.dim()) + tuple(gain.shape))
    if any(n != 1 for i, n in enumerate(wide.shape) if i != axis):
        return False
    factor = wide.reshape(-1).expand(shape[axis])
    if not _layers.scale_outputs(program, layer, factor.double()):
        return False
    edit.replace(program, node, value)
    return True


REWRITE = Rewrite(
    summary="Fold LayerScale into the linear layer or convolution before it (float files).",
    order=100,
    apply=apply,
    targets=("onnx", "tflite", "coreml"),
    float_only=True,
)
