"""Attention as Core ML's own operation, which exists from iOS 18 on: a fused kernel on its GPU and Neural Engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.coreml.edits import call, role_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True)
class _Attention:
    """The nodes of softmax(q k^T + mask) v, and the factors that they are made of."""

    q: torch.fx.Node
    turned: torch.fx.Node
    v: torch.fx.Node
    mask: torch.fx.Node | None
    scores: torch.fx.Node
    result: torch.fx.Node


def join_attention(program: ExportedProgram) -> int:
    """Replace matmul `qk`, perhaps add, softmax and matmul `av` by scaled_dot_product_attention.

    That divides by sqrt(E), E the width of a query: q is multiplied by it before, or, where the
    model divides q by just that, its division is left out. Attention whose scores or weights are
    read elsewhere too stays as it is, and one whose parts would have to be broadcast.

    Returns:
        How many there were.
    """
    import torch

    aten = torch.ops.aten
    joined = 0
    for node in tuple(program.graph_module.graph.nodes):
        found = _attention(node)
        if found is None:
            continue
        q, factor = _scaled(found.q)
        factor *= math.sqrt(q.meta["val"].shape[-1])
        if abs(factor - 1) > 1e-6:
            q = call(found.scores, aten.mul.Tensor, (q, factor), f"{node.name}_query", q.meta["val"])
        turned = found.turned
        value = turned.meta["val"].transpose(-1, -2)
        k = call(found.scores, aten.transpose.int, (turned, -2, -1), f"{node.name}_key", value)
        args = (q, k, found.v) if found.mask is None else (q, k, found.v, found.mask)
        target = aten.scaled_dot_product_attention.default
        made = call(node, target, args, f"{node.name}_attention", node.meta["val"])
        made.meta = dict(node.meta)
        node.replace_all_uses_with(made)
        joined += 1
    if joined:
        program.graph_module.graph.eliminate_dead_code()
    return joined


def _attention(result: torch.fx.Node) -> _Attention | None:
    import torch

    aten = torch.ops.aten
    products = (aten.matmul.default, aten.bmm.default)
    if result.target not in products or role_of(result) != "av" or _is_output(result):
        return None
    weights, v = result.args
    if not _is(weights, (aten.softmax.int, aten._softmax.default)) or len(weights.users) > 1:
        return None
    rank = len(result.meta["val"].shape)
    logits, axis = weights.args[:2]
    mask, scores = None, logits
    if _is(logits, (aten.add.Tensor,)) and not logits.kwargs:
        scores, mask = logits.args[:2] if role_of(logits.args[0]) == "qk" else logits.args[1::-1]
        if len(logits.users) > 1 or not isinstance(mask, torch.fx.Node):
            return None
        if logits.meta["val"].shape != scores.meta["val"].shape:
            return None
    if not _is(scores, products) or role_of(scores) != "qk" or len(scores.users) > 1:
        return None
    q, turned = scores.args
    batches = {tuple(n.meta["val"].shape[:-2]) for n in (q, turned, v)}
    if axis not in (-1, rank - 1) or rank < 3 or len(batches) > 1:
        return None
    return _Attention(q, turned, v, mask, scores, result)


def _is(node: object, targets: tuple[object, ...]) -> bool:
    return getattr(node, "target", None) in targets


def _is_output(node: torch.fx.Node) -> bool:
    return any(user.op == "output" for user in node.users)


def _scaled(q: torch.fx.Node) -> tuple[torch.fx.Node, float]:
    """What is multiplied by a number, and the number."""
    import torch

    if _is(q, (torch.ops.aten.mul.Tensor,)) and isinstance(q.args[1], int | float) and len(q.users) == 1:
        return q.args[0], float(q.args[1])
    return q, 1.0
