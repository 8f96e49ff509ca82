"""Execute a Graph operation by operation on many images, with a look or a hand at every node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.program import constants as program_constants

if TYPE_CHECKING:
    import torch

    Around = Callable[[torch.fx.Node, Callable[..., object], tuple[object, ...], dict[str, object]], object]
    Observe = Callable[[torch.fx.Node, torch.Tensor], Mapping[str, torch.Tensor]]
    Constant = Callable[[], torch.Tensor]

CHUNK = 32


def run(
    graph: Graph,
    images: torch.Tensor,
    around: Around | None = None,
    observe: Observe | None = None,
    constants: Mapping[str, Constant] | None = None,
    advance: Callable[[int], None] | None = None,
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Run the batch-1 program on each image, in chunks and vectorised with torch.func.vmap.

    Args:
        images: float32 (N, 3, height, width), normalised.
        around: called instead of each operation with (node, operation, args, kwargs); returns its value.
        observe: called after each operation, and for the input, with (node, value of one image,
            batch axis of 1 first); the named tensors it returns are stacked over the images.
        constants: replacements of weights, by name; each is made anew wherever it is read, so that no second
            copy of a large model is in memory.
        advance: told the number of images after each chunk.

    Returns:
        The outputs, each (N, ...), and what was observed, each (N, ...).
    """
    import torch

    call = _compile(graph, around, observe, dict(constants or {}))
    outputs: list[tuple[torch.Tensor, ...]] = []
    observed: list[dict[str, torch.Tensor]] = []
    with torch.no_grad():
        for chunk in images.split(CHUNK):
            out, seen = torch.func.vmap(call, randomness="different")(chunk.unsqueeze(1))
            outputs.append(tuple(o[:, 0] for o in out))
            observed.append(seen)
            if advance is not None:
                advance(len(chunk))
    joined = tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))
    return joined, {k: torch.cat([seen[k] for seen in observed]) for k in (observed[0] if observed else {})}


def run_single(graph: Graph, image: Any, around: Around) -> tuple[Any, ...]:
    """Run the program once, without vmap, on whatever `around` understands.

    Args:
        image: handed on as the value of the input, (1, 3, height, width) if it is a tensor.
        around: called instead of each operation with (node, operation, args, kwargs); weights come
            as tensors, all other values as `around` returned them.

    Returns:
        The values of the outputs.
    """
    import torch

    with torch.no_grad():
        outputs: tuple[Any, ...] = _compile(graph, around, None, {})(image)[0]
    return outputs


def _compile(
    graph: Graph, around: Around | None, observe: Observe | None, replaced: dict[str, Constant]
) -> Callable[[torch.Tensor], tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]]:
    from torch.fx import map_arg

    program = graph.program
    nodes = list(program.graph_module.graph.nodes)
    names = program_constants.targets(program)
    fixed: dict[torch.fx.Node, torch.Tensor] = {}
    made: dict[torch.fx.Node, Constant] = {}
    for node in nodes:
        if node.op == "placeholder" and node.name in names:
            found = program_constants.value(program, node)
            assert found is not None
            fixed[node] = found
            if names[node.name] in replaced:
                made[node] = replaced[names[node.name]]
    last_use = {final: [n for n in held if n not in fixed] for final, held in last_uses(nodes).items()}

    def call(image: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
        values: dict[torch.fx.Node, Any] = dict(fixed)
        seen: dict[str, torch.Tensor] = {}
        for node in nodes:
            if node in fixed:
                continue
            if node.op == "output":
                return tuple(made[n]() if n in made else values[n] for n in node.args[0]), seen
            if node.op == "placeholder":
                values[node] = image
            else:
                args = map_arg(node.args, lambda n: made[n]() if n in made else values[n])
                kwargs = map_arg(node.kwargs, lambda n: made[n]() if n in made else values[n])
                if around is None:
                    values[node] = node.target(*args, **kwargs)
                else:
                    values[node] = around(node, node.target, args, kwargs)
            if observe is not None:
                seen.update(observe(node, values[node]))
            for dead in last_use.get(node, ()):
                del values[dead]
        raise AssertionError("a program without an output node")

    return call


def last_uses(nodes: list[torch.fx.Node]) -> dict[torch.fx.Node, list[torch.fx.Node]]:
    """Node -> those whose values nobody needs once it is done."""
    position = {node: index for index, node in enumerate(nodes)}
    found: dict[torch.fx.Node, list[torch.fx.Node]] = {}
    for node in nodes:
        if node.users:
            found.setdefault(max(node.users, key=position.__getitem__), []).append(node)
    return found
