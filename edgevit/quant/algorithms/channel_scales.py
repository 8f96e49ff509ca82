"""Move per-channel magnitude from norms and ReLU into the layers that read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph import _constants, _edit, _layers
from edgevit.graph.sites import site_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

ALPHA: Final = 0.7
# Keeps a dead channel from asking for an infinite factor.
FLOOR: Final = 1e-5
# What is seen of the magnitudes, by the axis of the channels from the end of (1, ..., C) or the front of (1, C, ...).
_OBSERVERS: Final = {-1: "channel_absmax", 1: "plane_absmax"}


@dataclass(frozen=True, slots=True)
class _Reader:
    """A layer that reads the channels: its weight, and that weight's axis of them."""

    weight: torch.fx.Node
    axis: int


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Divide what makes each channel by s_j and multiply the next weights' input channels by it: exact.

    s_j = max|x_j|^alpha / max|w_j|^(1 - alpha), SmoothQuant (Xiao et al. 2023, equation 4), with w_j over all
    layers that read the value. What makes a channel is gamma and beta of LayerNorm and GroupNorm, or weight and bias
    of a layer with ReLU behind it, since relu(x / s) = relu(x) / s for s > 0 (Nagel et al. 2019, section 4.1). SiLU
    and GELU have no such factor. A value that anything else reads too stays.
    """
    import torch

    program = graph.program
    changed = []
    for node in program.graph_module.graph.nodes:
        made = _made_of(program, node)
        if made is None:
            continue
        constants, axis = made
        readers = _readers(program, node, axis)
        if not readers:
            continue
        weights = {reader: _constants.value(program, reader.weight) for reader in readers}
        largest = torch.stack([_largest(w, r.axis) for r, w in weights.items() if w is not None]).amax(0)
        seen = torch.from_numpy(stats.values[site_of(node), _OBSERVERS[axis]]).clamp(min=FLOOR)
        factor = seen**ALPHA / largest.clamp(min=FLOOR) ** (1 - ALPHA)
        factor = factor / factor.log().mean().exp()
        for constant in constants:
            value = _constants.value(program, constant)
            assert value is not None
            _constants.set_value(program, constant, value / _along(factor, value, 0))
        for reader, weight in weights.items():
            assert weight is not None
            _constants.set_value(program, reader.weight, weight * _along(factor, weight, reader.axis))
        changed.append(site_of(node))
    return tuple(changed)


def _made_of(program: ExportedProgram, node: torch.fx.Node) -> tuple[tuple[torch.fx.Node, ...], int] | None:
    """The constants whose first axis scales the channels of `node`'s value, and the axis of the channels."""
    import torch

    aten = torch.ops.aten
    if node.target is aten.layer_norm.default:
        if len(node.args[1]) != 1:
            return None
        held, axis = node.args[2:4], -1
    elif node.target is aten.group_norm.default:
        held, axis = node.args[2:4], 1
    elif node.target in {aten.relu.default, aten.leaky_relu.default}:
        layer = _layers.layer_of(node.args[0])
        if layer is None or layer.transposed or len(layer.node.users) != 1:
            return None
        held = layer.node.args[1:3]
        axis = -1 if layer.node.target is aten.linear.default else 1
    else:
        return None
    held = tuple(a for a in held if a is not None)
    own = all(_constants.value(program, a) is not None and len(a.users) == 1 for a in held)
    return (held, axis) if own and held else None


def _readers(program: ExportedProgram, node: torch.fx.Node, axis: int) -> tuple[_Reader, ...]:
    """All that reads the value, if those are layers over its channels whose weights nobody else reads."""
    import torch

    found: dict[torch.fx.Node, _Reader] = {}
    for user in node.users:
        layer = _layers.layer_of(user)
        if layer is None or layer.transposed or user.args[0] is not node:
            return ()
        weight = user.args[1]
        if _constants.value(program, weight) is None or any(u not in node.users for u in weight.users):
            return ()
        linear = user.target is torch.ops.aten.linear.default
        if linear != (axis == -1):
            return ()
        depthwise = layer.groups > 1 and layer.groups == _edit.shape(node)[1] == _edit.shape(weight)[0]
        if layer.groups > 1 and not depthwise:
            return ()
        found[weight] = _Reader(weight, 0 if depthwise else 1)
    return tuple(found.values())


def _largest(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Largest magnitude for each index of the axis."""
    return weight.abs().movedim(axis, 0).flatten(1).amax(1)


def _along(factor: torch.Tensor, value: torch.Tensor, axis: int) -> torch.Tensor:
    """The factor in the shape that multiplies the axis of the value."""
    return factor.reshape([-1 if i == axis else 1 for i in range(value.dim())])


ALGORITHM = Fold(
    summary="Fold: scales of the channels of norms and ReLU into the next layers.",
    observers=tuple(_OBSERVERS.values()),
    apply=apply,
)
