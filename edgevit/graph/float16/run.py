"""A Graph as a float16 file computes it: every result and constant rounded, sums in float32."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.graph.float16._rounding import half, is_float, stored
from edgevit.program import constants
from edgevit.program.run import run
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch


def run_half(graph: Graph, images: torch.Tensor, keep: Collection[str] = ()) -> tuple[torch.Tensor, ...]:
    """The outputs, each (N, ...), for float32 (N, 3, height, width), with the sites `keep` in float32."""
    from torch.utils import _pytree

    fixed = set(constants.targets(graph.program))

    def around(
        node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        if node.target is operator.getitem or site_of(node) in keep:
            return operation(*args, **kwargs)
        named, _ = _pytree.tree_flatten((node.args, node.kwargs))
        values, form = _pytree.tree_flatten((args, kwargs))
        rounded = [
            (stored(v) if getattr(name, "name", None) in fixed else half(v)) if is_float(v) else v
            for name, v in zip(named, values, strict=True)
        ]
        again, keywords = _pytree.tree_unflatten(rounded, form)
        result = operation(*again, **keywords)
        results = result if isinstance(result, (tuple, list)) else (result,)
        held = [half(r) if is_float(r) else r for r in results]
        return held if isinstance(result, (tuple, list)) else held[0]

    return run(graph, images, around=around)[0]
