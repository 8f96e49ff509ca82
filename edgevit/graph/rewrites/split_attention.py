"""Write scaled dot-product attention as its two products, so that each can be a site."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Rewrite
from edgevit.graph.sites import ROLE_KEY

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """softmax(q k^T * scale + mask) v, Vaswani et al. 2017 equation 1, with q scaled first.

    Scaling q (tokens x head size) costs less than scaling the scores (tokens x tokens).

    Raises:
        UnsupportedError: causal masks and grouped queries, which no vision transformer here uses.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    found = [n for n in graph.nodes if n.target is aten.scaled_dot_product_attention.default]
    for node in found:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if given.get("is_causal") or given.get("enable_gqa"):
            raise UnsupportedError(f"{node.name}: causal or grouped-query attention is not supported")
        query, key, value, mask = given["query"], given["key"], given["value"], given.get("attn_mask")
        if mask is not None and mask.meta["val"].dtype == torch.bool:
            raise UnsupportedError(f"{node.name}: a boolean attention mask is not supported")
        scale = given.get("scale") or 1 / math.sqrt(query.meta["val"].shape[-1])

        def emit(
            target: Callable[..., Any], args: tuple[Any, ...], role: str = "", like: torch.fx.Node = node
        ) -> torch.fx.Node:
            made = graph.call_function(target, args)
            made.meta = dict(like.meta)
            real = [a.meta["val"] if isinstance(a, torch.fx.Node) else a for a in args]
            with real[0].fake_mode:
                made.meta["val"] = target(*real)
            if role:
                made.meta["custom"] = {**(like.meta.get("custom") or {}), ROLE_KEY: role}
            return made

        with graph.inserting_before(node):
            scaled = emit(aten.mul.Tensor, (query, scale))
            scores = emit(aten.matmul.default, (scaled, emit(aten.transpose.int, (key, -2, -1))), "qk")
            if mask is not None:
                scores = emit(aten.add.Tensor, (scores, mask))
            weights = emit(aten.softmax.int, (scores, -1))
            out = emit(aten.matmul.default, (weights, value), "av")
        node.replace_all_uses_with(out)
        graph.erase_node(node)
    return len(found)


REWRITE = Rewrite(
    summary="Split fused attention into its products, for runtimes that quantize or lack it.",
    order=10,
    apply=apply,
)
