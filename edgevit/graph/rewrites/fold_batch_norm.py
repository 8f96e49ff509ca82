"""Fold inference batch norm into the convolution before it."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _constants

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """w' = w * g, b' = (b - mean) * g + beta with g = gamma / sqrt(var + eps), per output channel.

    Exact up to rounding in float32; computed in float64. A batch norm behind anything but a
    convolution that nobody else reads is left as it is.
    """
    import torch

    aten = torch.ops.aten
    norms = (aten._native_batch_norm_legit_no_training.default, aten.batch_norm.default)
    convs = (aten.conv2d.default, aten.convolution.default)
    graph = program.graph_module.graph
    folded = 0
    for node in list(graph.nodes):
        if node.target not in norms:
            continue
        conv = node.args[0]
        if conv.target not in convs or len(conv.users) != 1:
            continue
        weight_node = conv.args[1]
        weight = _constants.value(program, weight_node)
        bias_node = conv.args[2] if len(conv.args) > 2 else None
        if weight is None or len(weight_node.users) != 1 or _is_transposed(conv):
            continue
        gain, shift = _gain_and_shift(program, node)
        bias = _constants.value(program, bias_node)
        old = torch.zeros_like(shift) if bias is None else bias.double()
        new_weight = (weight.double() * gain.view(-1, 1, 1, 1)).to(weight.dtype)
        new_bias = (old * gain + shift).to(weight.dtype)
        _constants.set_value(program, weight_node, new_weight)
        name = _constants.targets(program)[weight_node.name].removesuffix("weight") + "folded_bias"
        conv.args = (*conv.args[:2], _constants.add(program, name, new_bias), *conv.args[3:])
        _replace(program, node, conv)
        folded += 1
    return folded


def _gain_and_shift(program: ExportedProgram, node: torch.fx.Node) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    native = node.target is torch.ops.aten._native_batch_norm_legit_no_training.default
    gamma, beta, mean, var = (_constants.value(program, a) for a in node.args[1:5])
    eps = float(node.args[6 if native else 7])
    assert mean is not None and var is not None, node.name
    gain = 1 / torch.sqrt(var.double() + eps)
    gain = gain if gamma is None else gain * gamma.double()
    shift = -mean.double() * gain
    return gain, shift if beta is None else shift + beta.double()


def _is_transposed(conv: torch.fx.Node) -> bool:
    import torch

    return conv.target is torch.ops.aten.convolution.default and bool(conv.args[6])


def _replace(program: ExportedProgram, norm: torch.fx.Node, conv: torch.fx.Node) -> None:
    """Let every reader of the norm's first result read the convolution instead."""
    graph = program.graph_module.graph
    results = [u for u in norm.users if u.target is operator.getitem]
    for reader in [u for u in results if u.args[1] == 0] or [norm]:
        reader.replace_all_uses_with(conv)
        for spec in program.graph_signature.output_specs:
            if spec.arg.name == reader.name:
                spec.arg.name = conv.name
    for reader in results:
        graph.erase_node(reader)
    graph.erase_node(norm)


REWRITE = Rewrite(summary="Fold batch norm into the convolution before it.", order=20, apply=apply)
