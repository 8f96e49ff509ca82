"""Parts of a program that one tensor enters and one tensor leaves: half a transformer block, a residual block."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.program import constants
from edgevit.program.paired_run import CHUNK
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch

    Around = Callable[[torch.fx.Node, tuple[object, ...]], torch.Tensor | None]


@dataclass(frozen=True, slots=True)
class Block:
    """Operations in execution order.

    Attributes:
        entry: what makes the tensor that enters, an operation before the block or the model's input.
        nodes: the last of them makes the tensor that leaves.
        sites: names of the operations.
    """

    entry: torch.fx.Node
    nodes: tuple[torch.fx.Node, ...]
    sites: frozenset[str]


def blocks_of(graph: Graph, wanted: Collection[str]) -> tuple[Block, ...]:
    """The program as blocks with at least one site of `wanted` each, as small as that allows.

    What follows the last such block, or has no single tensor before it, belongs to none.
    """
    program = graph.program
    names = constants.targets(program)
    moving = [n for n in program.graph_module.graph.nodes if n.op != "output" and n.name not in names]
    computed = _computed(moving)
    moving = [node for node in moving if node in computed]
    position = {node: index for index, node in enumerate(program.graph_module.graph.nodes)}
    end = {node: max((position[user] for user in node.users), default=-1) for node in moving}
    found: list[Block] = []
    entry: torch.fx.Node | None = None
    held: list[torch.fx.Node] = []
    live: set[torch.fx.Node] = set()
    for node in moving:
        live = {other for other in live if end[other] > position[node]} | {node}
        if node.op != "placeholder":
            held.append(node)
        if live != {node} or not hasattr(node.meta["val"], "shape"):
            continue
        sites = frozenset(site_of(member) for member in held)
        if entry is None:
            entry, held = node, []
        elif not sites.isdisjoint(wanted):
            found.append(Block(entry, tuple(held), sites))
            entry, held = node, []
    return tuple(found)


def run_block(
    graph: Graph,
    block: Block,
    value: torch.Tensor,
    around: Around | None = None,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """What leaves a block, (N, 1, ...), for what enters it, (N, 1, ...).

    Args:
        around: gets an operation and the values of its arguments for one image; returns its result, None
            for the operation's own.
        chunk: images that are computed at once.
    """
    import torch
    from torch.fx import map_arg

    program = graph.program
    inside = {block.entry, *block.nodes}
    fixed: dict[torch.fx.Node, object] = {}

    def constant(node: torch.fx.Node) -> object:
        if node not in fixed:
            held = constants.value(program, node)
            if held is None:  # computed of constants alone
                assert callable(node.target)
                held = node.target(*map_arg(node.args, constant), **map_arg(node.kwargs, constant))
            fixed[node] = held
        return fixed[node]

    with torch.no_grad():
        for node in block.nodes:
            for source in node.all_input_nodes:
                if source not in inside:
                    constant(source)

    def one(entering: torch.Tensor) -> torch.Tensor:
        values: dict[torch.fx.Node, Any] = {block.entry: entering}
        for node in block.nodes:
            args = map_arg(node.args, lambda n: values[n] if n in values else fixed[n])
            result = None if around is None else around(node, args)
            if result is None:
                assert callable(node.target)
                kwargs = map_arg(node.kwargs, lambda n: values[n] if n in values else fixed[n])
                result = node.target(*args, **kwargs)
            values[node] = result
        left: torch.Tensor = values[block.nodes[-1]]
        return left

    return torch.cat([torch.func.vmap(one, randomness="different")(part) for part in value.split(chunk)])


def _computed(nodes: list[torch.fx.Node]) -> set[torch.fx.Node]:
    """The nodes that depend on the model's input."""
    found: set[torch.fx.Node] = set()
    for node in nodes:
        if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found
