"""Fold 1/sqrt(d) into the projection that makes q: one multiplication less per attention on every runtime.

    softmax(s (W x + b) k^T) = softmax(((s W) x + s b) k^T),   s = 1/sqrt(d)      (Vaswani et al. 2017, equation 1)

W is (heads * d, C), the rows of q in a projection that may make k and v too; b is (heads * d,).

1. q is multiplied before the product with k: the factor goes up through reshapes, permutations and one slice.
2. The product q k^T (tokens, tokens) is multiplied behind it: the same, and tokens^2 multiplications are saved.
3. A factor that is no single number, or rows or weights that anything else reads: left alone.

Exact where s is a power of two (d = 64 gives 1/8: only exponents change), else exact up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _chains, _layers
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True)
class _Rows:
    """Output channels `start` to `end` of a linear layer or a 1x1 convolution."""

    producer: torch.fx.Node
    start: int
    end: int


def apply(program: ExportedProgram) -> int:
    """(s W x + s b) k^T = s (W x + b) k^T: multiply the rows of q in weight and bias, drop the multiplication.

    Exact up to rounding; changes nothing but an exponent where s is a power of two. Handles q scaled
    before the product, and the product scaled behind it. Left alone: a scale that is no single number,
    and rows or weights that anything else reads.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    folded = 0
    for node in list(graph.nodes):
        factor = _factor(program, node)
        if factor is None:
            continue
        scaled = node.args[0]
        assert isinstance(scaled, torch.fx.Node)
        if len(scaled.users) != 1 or not (scaled.target is aten.matmul.default or _feeds_product(node)):
            continue
        start = scaled.args[0] if scaled.target is aten.matmul.default else scaled
        rows = _rows(start, scaled if start is not scaled else node)
        if rows is None or not _scale(program, rows, factor):
            continue
        edit.replace(program, node, scaled)
        folded += 1
    return folded


def _factor(program: ExportedProgram, node: torch.fx.Node) -> float | None:
    """The number that the node multiplies by."""
    import torch

    aten = torch.ops.aten
    if node.target not in {aten.mul.Tensor, aten.div.Tensor, aten.mul.Scalar, aten.div.Scalar}:
        return None
    number = node.args[1]
    if not isinstance(number, int | float):
        constant = constants.value(program, number)
        if constant is None or constant.numel() != 1 or constant.dim() > len(edit.shape(node)):
            return None
        number = float(constant)
    if node.kwargs or number == 0:
        return None
    return 1 / number if node.target in {aten.div.Tensor, aten.div.Scalar} else float(number)


def _feeds_product(node: torch.fx.Node) -> bool:
    """Whether all that reads the scaled tensor, through reshapes and permutations, is one matrix product."""
    import torch

    while len(node.users) == 1:
        (user,) = node.users
        if user.target is torch.ops.aten.matmul.default:
            return True
        if not _chains.is_link(user):
            return False
        node = user
    return False


def _rows(node: object, reader: torch.fx.Node) -> _Rows | None:
    """Whose channels `node` consists of, going up through links and one slice that only `reader` reads."""
    import torch

    aten = torch.ops.aten
    cut: tuple[int, int, int] | None = None
    while isinstance(node, torch.fx.Node):
        layer = _layers.layer_of(node)
        if layer is not None:
            axis, size = layer.axis, edit.shape(node)[layer.axis]
            if cut is None:
                return _Rows(node, 0, size) if set(node.users) == {reader} else None
            if cut[0] != axis or not all(_apart(user, cut, axis, user is reader) for user in node.users):
                return None
            return _Rows(node, cut[1], cut[2])
        if set(node.users) != {reader}:
            return None
        if node.target is aten.slice.Tensor and cut is None and len(node.args) == 4:
            source, axis, start, end = node.args
            cut = (edit.axis(source, axis), start, end)
        elif not _chains.is_link(node):
            return None
        node, reader = node.args[0], node
    return None


def _apart(user: torch.fx.Node, cut: tuple[int, int, int], axis: int, is_reader: bool) -> bool:
    """Whether this reader of the projection is the slice itself, or one that reads other channels."""
    import torch

    if is_reader:
        return True
    if user.target is not torch.ops.aten.slice.Tensor or len(user.args) != 4 or user.args[1] != axis:
        return False
    start, end = user.args[2:4]
    return bool(end <= cut[1] or start >= cut[2])


def _scale(program: ExportedProgram, rows: _Rows, factor: float) -> bool:
    """Multiply the rows of weight and bias; False if something else reads these constants."""
    import torch

    layer = _layers.layer_of(rows.producer)
    assert layer is not None
    gain = torch.ones(edit.shape(rows.producer)[layer.axis], dtype=torch.float64)
    gain[rows.start : rows.end] = factor
    return _layers.scale_outputs(program, layer, gain)


REWRITE = Rewrite(
    summary="Fold 1/sqrt(d) of attention into the projection that makes q.", order=60, apply=apply
)
