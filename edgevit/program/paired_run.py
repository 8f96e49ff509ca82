"""Execute a Graph in float and, beside it, in other ways, operation by operation, each on all images at once.

Layer-wise quantization needs what enters a layer in the float model and, beside it, what enters it
behind the layers that are quantized already, before it can decide the layer. Several plans of one graph are made
beside one float run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.program import constants
from edgevit.program.run import last_uses
from edgevit.program.side_by_side import side_by_side

if TYPE_CHECKING:
    import torch

    # node, values of its arguments in both runs; returns the second run's result, None for the operation's own
    Decide = Callable[[torch.fx.Node, tuple[object, ...], tuple[object, ...]], torch.Tensor | None]
    # node, its result in both runs; returns another one for the second run, None to leave it
    Settle = Callable[[torch.fx.Node, object, object], torch.Tensor | None]

CHUNK = 32


@dataclass(frozen=True, slots=True)
class Beside:
    """One run beside the float model's.

    Attributes:
        decide: may replace an operation's result. It gets values with the images in front of the program's own batch
            axis of 1: (N, 1, ...); weights come as they are.
        settle: sees what `decide` has led to, the model's input first.
    """

    decide: Decide
    settle: Settle | None = None


def paired_run(
    graph: Graph,
    images: torch.Tensor,
    runs: Sequence[Beside],
    advance: Callable[[int], None] | None = None,
) -> None:
    """Walk through the operations in order, once in float and once for each of `runs`.

    Args:
        images: float32 (N, 3, height, width), normalised.
        runs: none is called twice at a time, but they may be in threads of their own.
        advance: told 1 for each run after each operation.
    """
    import torch

    program = graph.program
    nodes = list(program.graph_module.graph.nodes)
    names = constants.targets(program)
    fixed: dict[torch.fx.Node, object] = {}
    real: dict[torch.fx.Node, object] = {}
    others: list[dict[torch.fx.Node, object]] = [{} for _ in runs]
    last = last_uses(nodes)

    def beside(node: torch.fx.Node, index: int) -> None:
        run, other = runs[index], others[index]
        with torch.no_grad():  # of each thread
            both = tuple(
                torch.fx.map_arg(node.args, lambda n, held=held: fixed[n] if n in fixed else held[n])
                for held in (real, other)
            )
            found: object = run.decide(node, both[0], both[1])
            if found is None:
                same = all(real.get(source) is other.get(source) for source in node.all_input_nodes)
                found = real[node] if same else apply(node, fixed, other)
            settled = None if run.settle is None else run.settle(node, real[node], found)
            other[node] = found if settled is None else settled

    with torch.no_grad(), side_by_side(len(runs)) as each:
        for node in nodes:
            if node.op == "output":
                return
            if node.op == "placeholder":
                if node.name in names:
                    fixed[node] = constants.value(program, node)
                    continue
                real[node] = images.unsqueeze(1)
                for run, other in zip(runs, others, strict=True):
                    other[node] = real[node]
                    if run.settle is not None:
                        run.settle(node, real[node], other[node])
                continue
            if all(source in fixed for source in node.all_input_nodes):
                fixed[node] = apply(node, fixed, {})
                continue
            real[node] = apply(node, fixed, real)
            each(partial(beside, node), range(len(runs)))
            for dead in last.get(node, ()):
                for held in (real, *others):
                    held.pop(dead, None)
            if advance is not None:
                advance(len(runs))


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
