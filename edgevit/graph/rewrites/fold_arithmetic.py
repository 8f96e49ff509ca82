"""Fold a bias, and a batch norm, that a framework writes out as arithmetic: Keras does, on PyTorch.

With one value per channel in m, g and b (C,):

    (W x - m) * g + b = (g W) x + (b - m g)         g scales the rows of W (C, inputs, ...)
    W x + b                                         becomes the bias of a layer that has none

Four cases:

1. A subtraction, a product and a sum behind a linear layer or convolution, each read by the next alone: all three go.
2. A sum behind a layer without a bias: it goes.
3. A constant that varies along another axis than the channels: left alone.
4. A product alone, such as LayerScale: left alone. Behind integers it is a scale per channel for free, and
   `fold_layer_scale` folds it in float files.

Computed in float64, stored in the weight's own type; exact up to rounding.
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
    """(layer(x) - m) * g + b into the layer; so too layer(x) + b where the layer has no bias yet.

    m, g and b hold one value per channel, and nobody else reads what is between. Other products stay:
    a LayerScale is free where outputs are integers. Computed in float64.
    """
    import torch

    aten = torch.ops.aten
    folded = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target is aten.sub.Tensor:
            folded += _norm(program, node)
        elif node.target is aten.add.Tensor:
            folded += _bias(program, node)
    return folded


def _norm(program: ExportedProgram, centred: torch.fx.Node) -> bool:
    import torch

    aten = torch.ops.aten
    scaled = _only_reader(centred, aten.mul.Tensor)
    shifted = None if scaled is None else _only_reader(scaled, aten.add.Tensor)
    if scaled is None or shifted is None:
        return False
    value = centred.args[0]
    found = _layers.layer_before(value) if edit.is_tensor(value) and not centred.kwargs else None
    if found is None:
        return False
    layer, axis = found
    mean = _per_channel(program, centred, axis, centred.args[1])
    gain = _per_channel(program, scaled, axis, scaled.args[1])
    shift = _per_channel(program, shifted, axis, shifted.args[1])
    if mean is None or gain is None or shift is None or shifted.kwargs:
        return False
    if not _layers.scale_outputs(program, layer, gain, shift - mean * gain):
        return False
    edit.replace(program, shifted, value)
    return True


def _bias(program: ExportedProgram, node: torch.fx.Node) -> bool:
    import torch

    value = node.args[0]
    found = _layers.layer_before(value) if edit.is_tensor(value) and not node.kwargs else None
    if found is None or edit.shape(node) != edit.shape(value):
        return False
    layer, axis = found
    shift = _per_channel(program, node, axis, node.args[1])
    if shift is None or (len(layer.node.args) > 2 and layer.node.args[2] is not None):
        return False
    if not _layers.scale_outputs(program, layer, torch.ones_like(shift), shift):
        return False
    edit.replace(program, node, value)
    return True


def _only_reader(node: torch.fx.Node, target: object) -> torch.fx.Node | None:
    readers = list(node.users)
    if len(readers) != 1 or readers[0].target is not target or readers[0].args[0] is not node:
        return None
    return readers[0]


def _per_channel(
    program: ExportedProgram, node: torch.fx.Node, axis: int, operand: object
) -> torch.Tensor | None:
    """A constant operand as float64 (channels,), None if it is none or varies along another axis."""
    constant = constants.value(program, operand)
    shape = edit.shape(node)
    if constant is None or constant.dim() > len(shape):
        return None
    wide = (1,) * (len(shape) - constant.dim()) + tuple(constant.shape)
    if any(size != 1 for i, size in enumerate(wide) if i != axis) or wide[axis] not in (1, shape[axis]):
        return None
    return constant.double().reshape(-1).expand(shape[axis]).contiguous()


REWRITE = Rewrite(
    summary="Fold a bias and a batch norm that are written out as arithmetic into the layer before them.",
    order=22,
    apply=apply,
)
