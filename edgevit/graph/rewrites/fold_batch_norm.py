"""Fold inference batch norm into the layer before or behind it: no runtime needs to compute it.

    y = g x + h,   g = gamma / sqrt(var + eps),   h = beta - mean g        all (C,); Ioffe and Szegedy 2015, section 3.1

1. A linear layer or convolution makes x and nobody else reads it: its rows are scaled, W' = g W, b' = g b + h.
2. Otherwise one that reads y, and nothing else does: its input channels are scaled, W' = W diag(g), b' = b + W h. Not
   into a convolution with padding: its zeros would be scaled and shifted too.
3. Otherwise one product and one sum with constants of (C, 1, 1).

Computed in float64 from the stored statistics; exact up to rounding. A norm that computes its statistics from the image
(training mode) is refused. Source: https://arxiv.org/abs/1502.03167; folding: Jacob et al. 2018,
https://arxiv.org/abs/1712.05877, equation 14.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Rewrite
from edgevit.graph import _layers
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """y = x * g + h with g = gamma / sqrt(var + eps), h = beta - mean * g, Ioffe and Szegedy 2015.

    Into the linear layer or convolution before it, if nobody else reads that; else into those behind it,
    if they read nothing but it and no zeros of a padding; else as one product and one sum. Exact up to
    rounding in float32; computed in float64.

    Raises:
        UnsupportedError: a norm that computes its statistics from the image.
    """
    import torch

    aten = torch.ops.aten
    plain = (aten._native_batch_norm_legit_no_training.default, aten.batch_norm.default)
    computing = (
        aten._native_batch_norm_legit.default,
        aten._native_batch_norm_legit.no_stats,
        aten.native_batch_norm.default,
    )
    graph = program.graph_module.graph
    folded = 0
    for node in list(graph.nodes):
        if node.target not in (*plain, *computing) or constants.value(program, node.args[0]) is not None:
            continue
        held = _gain_and_shift(program, node) if node.target in plain else None
        if held is None:
            if _reads_input(program, node):
                raise _refusal(node)
            continue
        gain, shift = held
        value = node.args[0]
        assert isinstance(value, torch.fx.Node)
        if not _fold_before(program, value, gain, shift) and not _fold_behind(program, node, gain, shift):
            value = _written_out(program, node, gain, shift)
        _replace(program, node, value)
        folded += 1
    return folded


def _gain_and_shift(
    program: ExportedProgram, node: torch.fx.Node
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both float64 (channels,); None where the norm has no statistics of its own."""
    import torch

    native = node.target is torch.ops.aten._native_batch_norm_legit_no_training.default
    gamma, beta, mean, var = (constants.value(program, a) for a in node.args[1:5])
    eps = float(node.args[6 if native else 7])
    if mean is None or var is None or (not native and node.args[5]):
        return None
    gain = 1 / torch.sqrt(var.double() + eps)
    gain = gain if gamma is None else gain * gamma.double()
    shift = -mean.double() * gain
    return gain, shift if beta is None else shift + beta.double()


def _fold_before(
    program: ExportedProgram, value: torch.fx.Node, gain: torch.Tensor, shift: torch.Tensor
) -> bool:
    """Into the layer that makes the norm's input, if its channels are the axis that is normalised."""
    found = _layers.layer_before(value)
    return found is not None and found[1] == 1 and _layers.scale_outputs(program, found[0], gain, shift)


def _fold_behind(
    program: ExportedProgram, node: torch.fx.Node, gain: torch.Tensor, shift: torch.Tensor
) -> bool:
    """Into the one layer that reads the norm and nothing else."""
    results = _results(node)
    readers = [u for r in results for u in r.users]
    outputs = {spec.arg.name for spec in program.graph_signature.output_specs}
    if len(readers) != 1 or outputs & {r.name for r in results}:
        return False
    layer = _layers.layer_of(readers[0])
    if layer is None or layer.node.args[0] not in results:
        return False
    channels_last = layer.axis == len(edit.shape(layer.node)) - 1 and layer.axis != 1
    return not channels_last and _layers.scale_inputs(program, layer, gain, shift)


def _written_out(
    program: ExportedProgram, node: torch.fx.Node, gain: torch.Tensor, shift: torch.Tensor
) -> torch.fx.Node:
    import torch

    value = node.args[0]
    assert isinstance(value, torch.fx.Node)
    dtype = value.meta["val"].dtype
    shape = (1, -1, *[1] * (len(edit.shape(value)) - 2))
    name = constants.name_for(node)
    by = constants.add(program, f"{name}_gain", gain.reshape(shape).to(dtype))
    plus = constants.add(program, f"{name}_shift", shift.reshape(shape).to(dtype))
    scaled = edit.emit(node, torch.ops.aten.mul.Tensor, (value, by))
    return edit.emit(node, torch.ops.aten.add.Tensor, (scaled, plus))


def _refusal(node: torch.fx.Node) -> UnsupportedError:
    stack = node.meta.get("nn_module_stack") or {}
    path = str(list(stack.values())[-1][0]) if stack else node.name
    return UnsupportedError(
        f"batch norm {path} computes its statistics from the image",
        "give it running statistics (track_running_stats=True) and put the model into eval mode",
    )


def _reads_input(program: ExportedProgram, node: torch.fx.Node) -> bool:
    names = constants.targets(program)
    waiting, seen = [node], {node}
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source.op == "placeholder" and source.name not in names:
                return True
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return False


def _results(norm: torch.fx.Node) -> list[torch.fx.Node]:
    """The nodes whose value is the normalised tensor."""
    found = [u for u in norm.users if u.target is operator.getitem]
    return [u for u in found if u.args[1] == 0] or [norm]


def _replace(program: ExportedProgram, norm: torch.fx.Node, value: torch.fx.Node) -> None:
    """Let every reader of the norm's first result read `value` instead."""
    for reader in _results(norm):
        if reader is not norm:
            edit.replace(program, reader, value)
    if norm.users:
        for unused in [u for u in norm.users if u.target is operator.getitem]:
            norm.graph.erase_node(unused)
    edit.replace(program, norm, value)


REWRITE = Rewrite(
    summary="Fold batch norm into the linear layer or convolution before or behind it.",
    order=20,
    apply=apply,
    common=True,
)
