"""An einsum of two tensors as permutations, reshapes and one matrix product."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def as_product(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node | None:
    """Insert the same in front of the einsum `node`; None for what is no product of two tensors.

    Left alone: ellipses, repeated indices of one tensor (diagonals), indices that are summed in one tensor
    only, and anything but two operands.
    """
    import torch

    aten = torch.ops.aten
    equation, operands = str(node.args[0]).replace(" ", ""), node.args[1]
    inputs, arrow, output = equation.partition("->")
    parts = inputs.split(",")
    if "." in equation or not arrow or len(parts) != 2 or not isinstance(operands, list | tuple):
        return None
    left, right = parts
    if any(len(set(p)) != len(p) for p in (left, right, output)):
        return None
    batch = [i for i in output if i in left and i in right]
    rows = [i for i in output if i in left and i not in right]
    columns = [i for i in output if i in right and i not in left]
    summed = [i for i in left if i in right and i not in output]
    if len(batch) + len(rows) + len(summed) != len(left) or len(batch) + len(columns) + len(summed) != len(
        right
    ):
        return None
    first, second = operands
    sizes = {
        **dict(zip(left, edit.shape(first), strict=True)),
        **dict(zip(right, edit.shape(second), strict=True)),
    }
    if constants.value(program, first) is not None:
        first, second, left, right, rows, columns = second, first, right, left, columns, rows
    # At most two axes of the batch stay apart, so that the product has rank 4; all of them stay in front
    # of a constant matrix, which then is the weight of a linear layer.
    held = constants.value(program, second) if not batch else None
    lead = [[i] for i in batch] if len(batch) <= 2 else [batch[:-1], batch[-1:]]
    outer = [[i] for i in rows] if held is not None and rows else [rows]

    def prepared(tensor: torch.fx.Node, has: str, groups: list[list[str]]) -> torch.fx.Node:
        axes = [has.index(i) for group in groups for i in group]
        shape = [math.prod(sizes[i] for i in group) for group in groups]
        constant = constants.value(program, tensor)
        if constant is not None:
            name = f"{constants.name_for(node)}_factor"
            return constants.add(program, name, constant.permute(axes).reshape(shape))
        moved = edit.emit(node, aten.permute.default, (tensor, axes))
        return edit.emit(node, aten.reshape.default, (moved, shape))

    factors = (
        prepared(first, left, [*lead, *outer, summed]),
        prepared(second, right, [*lead, summed, columns]),
    )
    product = edit.emit(node, aten.matmul.default, factors)
    made = [*batch, *rows, *columns]
    spread = edit.emit(node, aten.reshape.default, (product, [sizes[i] for i in made]))
    return edit.emit(node, aten.permute.default, (spread, [made.index(i) for i in output]))
