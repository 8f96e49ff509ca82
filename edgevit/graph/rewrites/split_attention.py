"""Write scaled dot-product attention as its two products, so that each can be a site.

    y = softmax(q k^T * scale + mask) v        q (..., L, E), k (..., S, E), v (..., S, EV), mask broadcasts to (L, S)

(Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1.) The form is always the same: mul (q by the scale),
matmul of role `qk`, add (bias or mask, if there is one), softmax over the last axis, matmul of role `av`. Scaling q
(L, E) costs less than scaling the scores (L, S).

1. No mask: no addition.
2. A float mask: added as it is, with infinities brought to -30000, see FORBIDDEN.
3. A constant boolean mask, and a causal one: an additive constant. One computed at run time selects with `where`.
4. A row in which everything is forbidden gives 0, as in PyTorch.
5. Grouped queries: refused by name.

TFLite has no operator for attention, and integers need the products apart; a target that has one joins them again.
Exact up to rounding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# Added where a mask forbids: float16 holds it, and exp(x - 30000) is 0 in float32 and float16 for every
# x up to 29,800 above the row's largest allowed score, so that the softmax is the same as with -infinity,
# which would turn into NaN wherever it meets a 0 or another infinity.
FORBIDDEN = -30000.0


def apply(program: ExportedProgram) -> int:
    """softmax(q k^T * scale + mask) v, Vaswani et al. 2017 equation 1, with q scaled first.

    Scaling q (tokens x head size) costs less than scaling the scores (tokens x tokens). A boolean mask
    that is constant, and a causal one, become an additive constant; one that is computed at run time
    selects. A row in which everything is forbidden gives 0, as in PyTorch.

    Raises:
        UnsupportedError: grouped queries, which no vision transformer here uses.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    found = [n for n in graph.nodes if n.target is aten.scaled_dot_product_attention.default]
    for node in found:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = edit.bound(node, names)
        if given.get("enable_gqa"):
            raise UnsupportedError(
                f"{node.name}: grouped-query attention is not supported",
                "repeat keys and values in the model",
            )
        query, key, value, mask = given["query"], given["key"], given["value"], given.get("attn_mask")
        scale = given.get("scale") or 1 / math.sqrt(edit.shape(query)[-1])
        if given.get("is_causal"):
            mask = _causal(program, node, edit.shape(query)[-2], edit.shape(key)[-2])
        scaled = edit.emit(node, aten.mul.Tensor, (query, scale))
        turned = edit.emit(node, aten.transpose.int, (key, -2, -1))
        scores = edit.emit(node, aten.matmul.default, (scaled, turned), role="qk")
        allowed = None
        if mask is not None and mask.meta["val"].dtype == torch.bool:
            scores, allowed = _masked(program, node, scores, mask)
        elif mask is not None:
            scores = edit.emit(node, aten.add.Tensor, (scores, _finite(program, node, mask)))
        weights = edit.emit(node, aten.softmax.int, (scores, -1))
        if allowed is not None:
            weights = edit.emit(node, aten.where.self, (allowed, weights, _number(program, node, 0.0)))
        edit.replace(program, node, edit.emit(node, aten.matmul.default, (weights, value), role="av"))
    return len(found)


def _masked(
    program: ExportedProgram, node: torch.fx.Node, scores: torch.fx.Node, mask: torch.fx.Node
) -> tuple[torch.fx.Node, torch.fx.Node | None]:
    """Scores with the mask, and what has to be set to 0 behind the softmax: rows may be forbidden as a whole."""
    import torch

    aten = torch.ops.aten
    constant = constants.value(program, mask)
    if constant is None:
        forbidden = _number(program, node, FORBIDDEN)
        return edit.emit(node, aten.where.self, (mask, scores, forbidden)), mask
    table = torch.where(constant, 0.0, FORBIDDEN).to(scores.meta["val"].dtype)
    added = constants.add(program, f"{constants.name_for(node)}_mask", table)
    every_row = bool(constant.any(-1).all())
    return edit.emit(node, aten.add.Tensor, (scores, added)), None if every_row else mask


def _finite(program: ExportedProgram, node: torch.fx.Node, mask: torch.fx.Node) -> torch.fx.Node:
    """An additive constant mask with FORBIDDEN for -infinity, as long as each row allows something."""
    constant = constants.value(program, mask)
    if constant is None or not bool(constant.isneginf().any()) or bool(constant.isneginf().all(-1).any()):
        return mask
    table = constant.masked_fill(constant.isneginf(), FORBIDDEN)
    return constants.add(program, f"{constants.name_for(node)}_mask", table)


def _causal(program: ExportedProgram, node: torch.fx.Node, queries: int, keys: int) -> torch.fx.Node:
    import torch

    mask = torch.ones(queries, keys, dtype=torch.bool).tril()
    return constants.add(program, f"{constants.name_for(node)}_causal", mask)


def _number(program: ExportedProgram, node: torch.fx.Node, number: float) -> Any:
    import torch

    dtype = node.meta["val"].dtype
    return constants.add(program, f"{constants.name_for(node)}_number", torch.tensor([number], dtype=dtype))


REWRITE = Rewrite(
    summary="Split fused attention into its products, for runtimes that quantize or lack it.",
    order=10,
    apply=apply,
    common=True,
)
