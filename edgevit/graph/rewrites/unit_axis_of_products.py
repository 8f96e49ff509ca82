"""Keep an axis of 1 from between the rows and the columns of a product, where litert-torch fails on it.

It moves a reshape to (..., rows, 1, columns) into the product in front of it and then refuses the result ("invalid
output rank"). Two forms of it are written in another way:

1. A linear layer over an image of width 1, channels last (ConvNeXt's last stage on a small or narrow image): the axis
   is left out, (batch, height, channels), and set again behind the layer.
2. A product of tokens that enters a convolution over rows (EfficientViM): reshape(a @ b, (batch, rows, 1, columns)) =
   permute(reshape(b^T @ a^T, (batch, 1, columns, rows)), (0, 3, 1, 2)). The permutation is the one from channels last
   to channels first, which the converter takes out again in front of a convolution.

Exact up to the order of summation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Leave the axis out of linear layers, and transpose products that are reshaped to have it."""
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        made = None
        if node.target is aten.linear.default:
            made = _layer(node)
        elif node.target in {aten.reshape.default, aten.view.default}:
            made = _product(node)
        if made is not None:
            edit.replace(program, node, made)
            changed += 1
    program.graph_module.graph.eliminate_dead_code()
    return changed


def _layer(node: torch.fx.Node) -> torch.fx.Node | None:
    """The same layer without the axis before the last; None if there is none of 1."""
    import torch

    reshape, source = torch.ops.aten.reshape.default, node.args[0]
    assert isinstance(source, torch.fx.Node)
    *front, one, last = edit.shape(source)
    if len(front) != 2 or one != 1:
        return None
    flat = edit.emit(node, reshape, (source, [*front, last]))
    made = edit.emit(node, torch.ops.aten.linear.default, (flat, *node.args[1:]), kwargs=node.kwargs)
    made.meta["custom"] = dict(node.meta.get("custom") or {})  # it stays the site that it was
    return edit.emit(node, reshape, (made, list(edit.shape(node))))


def _product(node: torch.fx.Node) -> torch.fx.Node | None:
    """What the reshape gives, from the transposed product; None if it sets no such axis or follows no product."""
    import torch

    aten, product = torch.ops.aten, node.args[0]
    assert isinstance(product, torch.fx.Node)
    if product.target not in {aten.matmul.default, aten.bmm.default} or len(edit.shape(product)) != 3:
        return None
    batch, rows, columns = edit.shape(product)
    if edit.shape(node) != (batch, rows, 1, columns):
        return None
    first, second = (_transposed(node, factor) for factor in product.args[:2])
    turned = edit.emit(node, aten.matmul.default, (second, first), like=product)
    made = edit.emit(node, aten.reshape.default, (turned, [batch, 1, columns, rows]))
    return edit.emit(node, aten.permute.default, (made, [0, 3, 1, 2]))


def _transposed(before: torch.fx.Node, factor: object) -> torch.fx.Node:
    """The factor with its last two axes exchanged; a permutation that did so already is left out."""
    import torch

    assert isinstance(factor, torch.fx.Node)
    last = len(edit.shape(factor)) - 1
    order = [*range(last - 1), last, last - 1]
    permute, source = torch.ops.aten.permute.default, factor.args[0] if factor.args else None
    if factor.target is permute and factor.args[1] == order and isinstance(source, torch.fx.Node):
        return source
    return edit.emit(before, permute, (factor, order))


REWRITE = Rewrite(
    summary="Products without an axis of 1 between their rows and columns (TFLite).",
    order=224,
    apply=apply,
    targets=("tflite",),
)
