"""Write linear layers with one input, and matrix products over one element, as the multiplication that they are.

    linear(x, W, b) = x * W^T + b        x (..., 1), W (outputs, 1), b (outputs,)
    a @ b           = a * b              a (..., rows, 1), b (..., 1, columns)

Nothing is summed, so that there is nothing to win in integers, and litert-torch makes a multiplication of such a layer
itself or fails on such a product of slices (the attention over one channel of CSATv2). The values are PyTorch's but
for an addition that its kernel may fuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """linear(x, W, b) becomes x * W^T + b where W is a constant (outputs, 1), a @ b becomes a * b."""
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        made = None
        if node.target is aten.linear.default:
            made = _layer(program, node)
        elif node.target is aten.matmul.default and _is_over_one(node):
            made = edit.emit(node, aten.mul.Tensor, node.args[:2])
        if made is not None:
            edit.replace(program, node, made)
            changed += 1
    return changed


def _layer(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node | None:
    """x * W^T + b, None if it has more inputs."""
    import torch

    given = {"bias": None, **edit.bound(node, ("x", "weight", "bias"))}
    weight = constants.value(program, given["weight"])
    if weight is None or weight.shape[1] != 1:
        return None
    name = constants.targets(program)[given["weight"].name]
    row = constants.add(program, f"{name}_row", weight.flatten())
    made = edit.emit(node, torch.ops.aten.mul.Tensor, (given["x"], row))
    if given["bias"] is None:
        return made
    return edit.emit(node, torch.ops.aten.add.Tensor, (made, given["bias"]))


def _is_over_one(node: torch.fx.Node) -> bool:
    first, second = (edit.shape(factor) for factor in node.args[:2] if edit.is_tensor(factor))
    return min(len(first), len(second)) > 1 and first[-1] == 1


REWRITE = Rewrite(
    summary="Linear layers with one input and products over one element as multiplications.",
    order=36,
    apply=apply,
)
