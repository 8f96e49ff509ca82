"""Execute a Graph twice, side by side, operation by operation, each on all images at once.

Layer-wise quantization needs what enters a layer in the float model and, beside it, what enters it
behind the layers that are quantized already, before it can decide the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.program import constants
from edgevit.program.run import last_uses

if TYPE_CHECKING:
    import torch

    # node, values of its arguments in both runs; returns the second run's result, None for the operation's own
    Decide = Callable[[torch.fx.Node, tuple[object, ...], tuple[object, ...]], torch.Tensor | None]
    # node, its result in both runs; returns another one for the second run, None to leave it
    Settle = Callable[[torch.fx.Node, object, object], torch.Tensor | None]

CHUNK = 32


def paired_run(
    graph: Graph,
    images: torch.Tensor,
    decide: Decide,
    advance: Callable[[int], None] | None = None,
    settle: Settle | None = None,
) -> None:
    """Walk through the operations in order; `decide` may replace the second run's result.

    Args:
        images: float32 (N, 3, height, width), normalised.
        decide: gets values with the images in front of the program's own batch axis of 1: (N, 1, ...);
            weights come as they are.
        advance: told 1 after each operation.
        settle: sees what `decide` has led to, the model's input first.
    """
    import torch

    program = graph.program
    nodes = list(program.graph_module.graph.nodes)
    names = constants.targets(program)
    fixed: dict[torch.fx.Node, object] = {}
    float_values: dict[torch.fx.Node, object] = {}
    other_values: dict[torch.fx.Node, object] = {}
    last = last_uses(nodes)
    with torch.no_grad():
        for node in nodes:
            if node.op == "output":
                return
            if node.op == "placeholder":
                if node.name in names:
                    fixed[node] = constants.value(program, node)
                else:
                    float_values[node] = other_values[node] = images.unsqueeze(1)
                    if settle is not None:
                        settle(node, float_values[node], other_values[node])
                continue
            if all(source in fixed for source in node.all_input_nodes):
                fixed[node] = apply(node, fixed, {})
                continue
            float_values[node] = apply(node, fixed, float_values)
            same = all(
                float_values.get(source) is other_values.get(source) for source in node.all_input_nodes
            )
            both = tuple(
                torch.fx.map_arg(node.args, lambda n, held=held: fixed[n] if n in fixed else held[n])
                for held in (float_values, other_values)
            )
            decided = decide(node, both[0], both[1])
            if decided is not None:
                other_values[node] = decided
            else:
                other_values[node] = float_values[node] if same else apply(node, fixed, other_values)
            if settle is not None:
                settled = settle(node, float_values[node], other_values[node])
                other_values[node] = other_values[node] if settled is None else settled
            for dead in last.get(node, ()):
                float_values.pop(dead, None)
                other_values.pop(dead, None)
            if advance is not None:
                advance(1)


def apply(node: torch.fx.Node, fixed: dict[torch.fx.Node, Any], values: dict[torch.fx.Node, Any]) -> Any:
    """The operation of `node` on all images, in chunks, vectorised over them."""
    import torch
    from torch.utils._pytree import tree_map

    inputs = [source for source in node.all_input_nodes if source not in fixed]

    def one(*given: object) -> object:
        table = {**fixed, **dict(zip(inputs, given, strict=True))}
        args = torch.fx.map_arg(node.args, table.__getitem__)
        kwargs = torch.fx.map_arg(node.kwargs, table.__getitem__)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    if not inputs:
        return one()
    held = [values[source] for source in inputs]
    count = _count(held[0])
    parts = []
    for start in range(0, count, CHUNK):
        chunk = tree_map(lambda t, s=start: t[s : s + CHUNK], held)
        parts.append(torch.func.vmap(one, randomness="different")(*chunk))
    return parts[0] if len(parts) == 1 else tree_map(lambda *tensors: torch.cat(tensors), *parts)


def _count(value: Any) -> int:
    from torch.utils._pytree import tree_leaves

    return len(tree_leaves(value)[0])
