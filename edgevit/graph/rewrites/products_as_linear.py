"""Write products with a constant matrix as linear layers, and einsum as products.

    x W = linear(x, W^T)        b + x W = linear(x, W^T, b)        x (..., inputs), W (inputs, outputs), b (outputs,)

A linear layer is what the runtimes have their fastest kernels for, and what can be quantized with a scale per output
channel. einsum has no operator in TFLite and Core ML and a slow one in ONNX Runtime:

1. Two tensors: axes that both have and the result keeps become the batch, axes that both have and it lacks are summed
   over, so that it is permute, reshape, matmul, reshape, permute.
2. What is no product of two tensors (a trace, three tensors): left alone.

Exact up to the order of summation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.graph._einsum import as_product
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """x @ W = linear(x, W^T); b + x @ W the same with a bias; einsum of two tensors = permute, matmul, permute."""
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if node.target is aten.einsum.default:
            made = as_product(program, node)
            if made is not None:
                edit.replace(program, node, made)
                changed += 1
    for node in list(graph.nodes):
        bias, value, matrix = _operands(node)
        if value is None or not _fits(program, node, bias, matrix):
            continue
        constant = constants.value(program, matrix)
        assert constant is not None and matrix is not None
        name = f"{constants.targets(program)[matrix.name]}_transposed"
        weight = constants.add(program, name, constant.t())
        args = (value, weight) if bias is None else (value, weight, bias)
        edit.replace(program, node, edit.emit(node, aten.linear.default, args))
        changed += 1
    graph.eliminate_dead_code()
    return changed


def _operands(node: torch.fx.Node) -> tuple[Any, Any, Any]:
    """Bias or None, x, W; x is None if the node is no such product."""
    import torch

    aten = torch.ops.aten
    if node.target in {aten.matmul.default, aten.mm.default} and not node.kwargs:
        return None, *node.args[:2]
    if node.target is aten.addmm.default and not node.kwargs:
        return node.args[0], *node.args[1:3]
    return None, None, None


def _fits(program: ExportedProgram, node: torch.fx.Node, bias: Any, matrix: Any) -> bool:
    constant = constants.value(program, matrix)
    if constant is None or constant.dim() != 2 or len(edit.shape(node)) < 2:
        return False
    return bias is None or edit.shape(bias) == (constant.shape[1],)


REWRITE = Rewrite(
    summary="Products with a constant matrix as linear layers, einsum as products (all targets).",
    order=14,
    apply=apply,
)
