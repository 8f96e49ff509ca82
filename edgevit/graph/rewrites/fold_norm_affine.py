"""Fold a layer norm's gamma and beta into the linear layers that read it.

    W (gamma * x + beta) + b = (W diag(gamma)) x + (W beta + b)      W (O, C), gamma and beta (C,), b (O,)

Two operators, and two passes over the tokens, less per layer norm in TFLite, which has no operator for the norm. The
other formats' norms do gamma and beta in the same pass, so that they gain nothing.

1. Linear layers alone read the result, directly or through operations that move whole tokens (reshapes, permutations
   that keep the channels last, slices and concatenations along the tokens): folded into each of them.
2. Anything else reads it, or a layer shares its weight: left alone.
3. Files with a plan: left alone, because ranges and weights of the plan are those of the layers as they were.

Computed in float64; exact up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _chains, _layers
from edgevit.program import constants, edit
from edgevit.program.layout import merged

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """W (gamma * x + beta) + b = (W diag(gamma)) x + (W beta + b), exact up to rounding.

    Only where linear layers alone read the result, through operations that move whole tokens.
    """
    import torch

    aten = torch.ops.aten
    folded = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target is not aten.layer_norm.default:
            continue
        given = edit.bound(node, ("source", "shape", "weight", "bias", "eps"))
        shape, weight, bias = given["shape"], given.get("weight"), given.get("bias")
        gamma, beta = constants.value(program, weight), constants.value(program, bias)
        if len(shape) != 1 or gamma is None or (bias is not None and beta is None):
            continue
        layers = _readers(program, node)
        if not layers:
            continue
        shift = torch.zeros_like(gamma) if beta is None else beta
        for layer in layers:
            done = _layers.scale_inputs(program, layer, gamma.double(), shift.double())
            assert done, layer.node.name
        node.args, node.kwargs = (given["source"], shape, None, None, given.get("eps", 1e-5)), {}
        folded += 1
    return folded


def _readers(program: ExportedProgram, norm: torch.fx.Node) -> list[_layers.Layer]:
    """The linear layers that are all that reads the norm's tokens; none if anything else does."""
    import torch

    aten = torch.ops.aten
    found: list[_layers.Layer] = []
    moved = {norm}
    waiting = [norm]
    parts: list[object] = []
    while waiting:
        value = waiting.pop()
        for user in value.users:
            if _chains.is_link(user):
                pass  # what comes out of the whole chain is looked at where it is read
            elif not _keeps_channels(value):
                return []
            elif user.target is aten.linear.default and user.args[0] is value and _is_own(program, user):
                layer = _layers.layer_of(user)
                assert layer is not None
                found.append(layer)
                continue
            elif user.target in {aten.slice.Tensor, aten.cat.default} and _along_tokens(user):
                first = user.args[0]
                parts += first if isinstance(first, list | tuple) else [first]
            else:
                return []
            if user not in moved:
                moved.add(user)
                waiting.append(user)
    return found if all(part in moved for part in parts) else []


def _keeps_channels(value: torch.fx.Node) -> bool:
    """Whether the last axis of what a chain of reshapes and permutations gives is its source's last axis."""
    chain = _chains.links(value)
    if not chain:
        return True
    source = chain[-1].args[0]
    assert edit.is_tensor(source)
    layout = _chains.layout_between(source, chain)
    if layout is None:
        return False
    small = merged(layout, within_axes=True)
    channels = edit.shape(source)[-1]
    return small.dims[-1] == (len(small.sizes) - 1,) and small.sizes[-1] == channels


def _along_tokens(node: torch.fx.Node) -> bool:
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    assert isinstance(axis, int)
    return edit.axis(node, axis) != len(edit.shape(node)) - 1


def _is_own(program: ExportedProgram, node: torch.fx.Node) -> bool:
    """Whether weight and bias are constants that this layer alone reads."""
    held = [a for a in node.args[1:3] if a is not None]
    return all(constants.value(program, a) is not None and len(a.users) == 1 for a in held)


REWRITE = Rewrite(
    summary="Fold a layer norm's gamma and beta into the linear layers behind it (float files).",
    order=210,
    apply=apply,
    targets=("tflite",),
    float_only=True,
)
