"""Linear layers and convolutions as one thing: channels that a gain and a shift can be folded into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.graph import _chains
from edgevit.program import constants, edit
from edgevit.program import layout as _layout

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer or a convolution.

    Attributes:
        axis: of the output's channels.
        transposed: the weight is (inputs, outputs / groups, ...) instead of (outputs, inputs / groups, ...).
        padded: a convolution that reads zeros around its input.
    """

    node: torch.fx.Node
    axis: int
    groups: int = 1
    transposed: bool = False
    padded: bool = False


def layer_of(node: object) -> Layer | None:
    """The layer that `node` is, None if it is something else."""
    import torch

    if not isinstance(node, torch.fx.Node) or node.op != "call_function" or not edit.is_tensor(node):
        return None
    aten = torch.ops.aten
    if node.target is aten.linear.default:
        return Layer(node, len(edit.shape(node)) - 1)
    names = ("input", "weight", "bias", "stride", "padding")
    if node.target in {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}:
        given = edit.bound(node, (*names, "dilation", "groups"))
        return Layer(node, 1, given.get("groups", 1), False, _any(given.get("padding", 0)))
    if node.target in {aten.conv_transpose1d.default, aten.conv_transpose2d.input}:
        given = edit.bound(node, (*names, "output_padding", "groups", "dilation"))
        return Layer(node, 1, given.get("groups", 1), True, True)
    if node.target is aten.convolution.default:
        given = edit.bound(node, (*names, "dilation", "transposed", "output_padding", "groups"))
        padded = given["transposed"] or _any(given["padding"])
        return Layer(node, 1, given["groups"], given["transposed"], padded)
    return None


def layer_before(value: torch.fx.Node) -> tuple[Layer, int] | None:
    """The layer whose channels are one whole axis of `value`, and that axis.

    Between the two there are only reshapes and permutations that nobody else reads.
    """
    chain = _chains.links(value)
    source = chain[-1].args[0] if chain else value
    layer = layer_of(source)
    if layer is None or any(len(n.users) != 1 for n in (*chain, layer.node)):
        return None
    layout = _chains.layout_between(layer.node, chain)
    if layout is None:
        return None
    shape = edit.shape(layer.node)
    small = _layout.merged(layout, within_axes=True)
    outside = math.prod(shape[: layer.axis])
    for axis, dim in enumerate(small.dims):
        is_whole = len(dim) == 1 and small.sizes[dim[0]] == shape[layer.axis]
        if is_whole and math.prod(small.sizes[: dim[0]]) == outside:
            return layer, axis
    return None


def scale_outputs(
    program: ExportedProgram, layer: Layer, gain: torch.Tensor, shift: torch.Tensor | None = None
) -> bool:
    """Let the layer give `gain * y + shift`, float64 (channels,); False if its constants are not its own."""
    weight = _own(program, layer.node, 1)
    if weight is None:
        return False
    rows = gain
    if layer.transposed:
        per_group = gain.reshape(layer.groups, 1, -1).expand(-1, weight.shape[0] // layer.groups, -1)
        wide = per_group.reshape(weight.shape[0], -1)
    else:
        wide = rows.reshape(-1, 1)
    factor = wide.reshape(*wide.shape, *[1] * (weight.dim() - 2))
    return _store(
        program,
        layer.node,
        weight.double() * factor,
        lambda old: _shifted(old * gain, shift),
        shift is not None,
    )


def scale_inputs(program: ExportedProgram, layer: Layer, gain: torch.Tensor, shift: torch.Tensor) -> bool:
    """Let the layer read `gain * x + shift`, float64 (channels,); False where that is not exact or not its own."""
    weight = _own(program, layer.node, 1)
    if weight is None or layer.padded or layer.transposed:
        return False
    outputs = weight.shape[0]

    def wide(values: torch.Tensor) -> torch.Tensor:
        per_group = values.reshape(layer.groups, 1, -1).expand(-1, outputs // layer.groups, -1)
        flat = per_group.reshape(outputs, -1)
        return flat.reshape(*flat.shape, *[1] * (weight.dim() - 2))

    added = (weight.double() * wide(shift)).flatten(1).sum(1)
    return _store(program, layer.node, weight.double() * wide(gain), lambda old: old + added, True)


def _shifted(value: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    return value if shift is None else value + shift


def _own(program: ExportedProgram, node: torch.fx.Node, index: int) -> torch.Tensor | None:
    """The constant at `index` that this node alone reads."""
    held = node.args[index] if len(node.args) > index else None
    constant = constants.value(program, held)
    return constant if constant is not None and len(held.users) == 1 else None  # type: ignore[union-attr]


def _store(
    program: ExportedProgram, node: torch.fx.Node, weight: torch.Tensor, bias_of: Any, needs_bias: bool
) -> bool:
    """Write weight and bias in the weight's own type; False if the bias is no constant of this node alone."""
    import torch

    weight_node: Any = node.args[1]
    old_weight = constants.value(program, weight_node)
    bias_node: Any = node.args[2] if len(node.args) > 2 else None
    assert old_weight is not None
    if bias_node is None:
        if needs_bias:
            outputs = weight.shape[0]
            layer = layer_of(node)
            if layer is not None and layer.transposed:
                outputs = weight.shape[1] * layer.groups
            bias = bias_of(torch.zeros(outputs, dtype=torch.float64)).to(old_weight.dtype)
            name = constants.targets(program)[weight_node.name].removesuffix("weight") + "folded_bias"
            node.args = (*node.args[:2], constants.add(program, name, bias), *node.args[3:])
    else:
        old = _own(program, node, 2)
        if old is None:
            return False
        constants.set_value(program, bias_node, bias_of(old.double()).to(old.dtype))
    constants.set_value(program, weight_node, weight.to(old_weight.dtype))
    return True


def _any(padding: object) -> bool:
    return any(padding) if isinstance(padding, list | tuple) else bool(padding)
