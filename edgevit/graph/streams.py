"""Residual streams that layer norms alone read: their mean over the channels can be left out of every part.

Layer norm subtracts the mean over the channels first, which is linear: if all that is added to a stream has that
mean subtracted already, the stream never has one and each norm can go without (Ashkboos et al. 2024, SliceGPT,
section 3.1). The mean of a layer's outputs is subtracted from its weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core import metadata_keys
from edgevit.graph import _chains, _layers
from edgevit.program import constants, edit
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# Of the largest number: what float32 leaves of a mean that was subtracted.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Stream:
    """What is added up, and who reads it.

    Attributes:
        parts: every constant whose mean over the channels goes into it, with the axis of the channels: weights and
            biases that one layer alone reads, and constants that are added or joined.
        norms: the layer norms that read it, which are all that does.
    """

    parts: tuple[tuple[torch.fx.Node, int], ...]
    norms: tuple[torch.fx.Node, ...]


def streams(program: ExportedProgram) -> tuple[Stream, ...]:
    """All streams of the program that can do without a mean."""
    import torch

    layer_norm = torch.ops.aten.layer_norm.default
    found: list[Stream] = []
    for node in program.graph_module.graph.nodes:
        if node.target is layer_norm and not any(node in stream.norms for stream in found):
            stream = _stream_of(program, node)
            found += [] if stream is None else [stream]
    return tuple(found)


def centre(program: ExportedProgram) -> tuple[str, ...]:
    """Subtract the mean over the channels from all that goes into a stream; returns the norms that read one.

    Exact up to rounding: those norms subtract it anyway. A weight (outputs, inputs, ...) loses its mean over the
    outputs, a bias (outputs,) its mean, a constant its mean over the channels. Every norm that reads a stream without
    a mean is marked, also where there was nothing to subtract: see `mean_free_norms`.
    """
    changed: list[str] = []
    for stream in streams(program):
        for norm in stream.norms:
            norm.meta["custom"] = {**(norm.meta.get("custom") or {}), metadata_keys.MEAN_FREE: True}
        if is_centred(program, stream):
            continue
        for node, axis in stream.parts:
            value = constants.value(program, node)
            assert value is not None
            exact = value.double()
            constants.set_value(program, node, (exact - exact.mean(axis, keepdim=True)).to(value.dtype))
        changed += [site_of(norm) for norm in stream.norms]
    return tuple(changed)


def is_centred(program: ExportedProgram, stream: Stream) -> bool:
    """Whether no part of the stream has a mean over the channels."""
    values = [(constants.value(program, node), axis) for node, axis in stream.parts]
    return all(
        value is not None
        and float(value.double().mean(axis).abs().max()) <= _ROUNDING * float(value.abs().max())
        for value, axis in values
    )


def mean_free_norms(program: ExportedProgram) -> frozenset[torch.fx.Node]:
    """The layer norms that `centre` marked: those that read a stream without a mean, and need not subtract one.

    The mark stays with the program when it is saved, and with what later rewrites make of the norm.
    """
    import torch

    return frozenset(
        node
        for node in program.graph_module.graph.nodes
        if node.target is torch.ops.aten.layer_norm.default
        and (node.meta.get("custom") or {}).get(metadata_keys.MEAN_FREE)
    )


def _stream_of(program: ExportedProgram, norm: torch.fx.Node) -> Stream | None:
    """The stream that the norm reads; None if anything but layer norms reads it, or something else writes it."""
    parts: list[tuple[torch.fx.Node, int]] = []
    norms: list[torch.fx.Node] = []
    axis_of: dict[torch.fx.Node, int] = {}
    waiting = [(norm.args[0], -1)]
    while waiting:
        value, axis = waiting.pop()
        if not edit.is_tensor(value) or axis_of.get(value, axis) != axis:
            return None
        if value in axis_of:
            continue
        axis_of[value] = axis
        layer = _layers.layer_of(value)
        if constants.value(program, value) is not None:
            parts.append((value, axis))
        elif layer is not None:
            own = _own(program, layer, axis)
            if own is None:
                return None
            parts += [(constant, 0) for constant in own]
        else:
            inputs = _inputs(value, axis)
            if inputs is None:
                return None
            waiting += inputs
        for user in value.users:
            if _reads_channels(user, value, axis):
                norms.append(user)
                continue
            through = _through(user, value, axis)
            if through is None:
                return None
            waiting.append((user, through))
    return Stream(tuple(parts), tuple(norms))


def _own(program: ExportedProgram, layer: _layers.Layer, axis: int) -> list[torch.fx.Node] | None:
    """Weight and bias, outputs first, of a layer whose outputs lie on `axis`; None if others read them too."""
    held = [a for a in layer.node.args[1:3] if a is not None]
    alone = all(constants.value(program, a) is not None and len(a.users) == 1 for a in held)
    rank = len(edit.shape(layer.node))
    fits = layer.groups == 1 and not layer.transposed and layer.axis == rank + axis
    return held if alone and fits else None


def _reads_channels(user: torch.fx.Node, value: torch.fx.Node, axis: int) -> bool:
    """Whether it is a layer norm over the channels and nothing else."""
    import torch

    if user.target is not torch.ops.aten.layer_norm.default or axis != -1:
        return False
    shape = user.args[1]
    return user.args[0] is value and isinstance(shape, list | tuple) and len(shape) == 1


def _through(user: torch.fx.Node, value: torch.fx.Node, axis: int) -> int | None:
    """Axis of what `user` makes of the value that has the value's channels; None if it mixes them."""
    if not edit.is_tensor(user):
        return None
    for found in range(-len(edit.shape(user)), 0):
        if (value, axis) in (_inputs(user, found) or ()):
            return found
    return None


def _inputs(node: torch.fx.Node, axis: int) -> list[tuple[torch.fx.Node, int]] | None:
    """The inputs of a node, each with the axis that holds what the node has on `axis`.

    Only of operations that give a mean of zero over that axis if all those inputs have one: sums of tensors, and
    what moves, picks or averages whole vectors of channels. None for all others. Axes count from the end.
    """
    import torch

    aten = torch.ops.aten
    if node.op != "call_function" or not node.args:
        return None
    first, rank = node.args[0], len(edit.shape(node))
    if node.target in {aten.add.Tensor, aten.sub.Tensor} and not node.kwargs:
        return [(part, axis) for part in node.args] if _have_axis(node.args, node, axis) else None
    if node.target is aten.cat.default:
        along = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        parts: list[torch.fx.Node] = list(first)
        return None if edit.axis(node, along) == rank + axis else [(part, axis) for part in parts]
    if not edit.is_tensor(first):
        return None
    given, size = edit.shape(first), edit.shape(node)[axis]
    if node.target is aten.slice.Tensor:
        along = edit.bound(node, ("x", "dim")).get("dim", 0)
        return None if edit.axis(node, along) == rank + axis else [(first, axis)]
    if node.target is aten.mean.dim:
        over = edit.bound(node, ("x", "dim"))["dim"]
        before_it = bool(over) and all(edit.axis(first, along) - len(given) < axis for along in over)
        return [(first, axis)] if before_it else None
    if node.target is aten.select.int:
        picked = edit.axis(first, edit.bound(node, ("x", "dim"))["dim"])
        return [(first, axis if picked < rank + 1 + axis else axis - 1)]
    if _chains.permutes(node):
        return [(first, _chains.axes_of(node)[axis] - rank)]
    if _chains.is_link(node):
        before = math.prod(edit.shape(node)[: rank + axis])
        same = [i for i, n in enumerate(given) if n == size and math.prod(given[:i]) == before]
        return [(first, same[0] - len(given))] if size > 1 and same else None
    return None


def _have_axis(parts: tuple[object, ...], node: torch.fx.Node, axis: int) -> bool:
    """Whether each is a tensor with all channels: one that is broadcast along them has a mean that stays."""
    size = edit.shape(node)[axis]
    return all(
        edit.is_tensor(part) and len(edit.shape(part)) >= -axis and edit.shape(part)[axis] == size
        for part in parts
    )
