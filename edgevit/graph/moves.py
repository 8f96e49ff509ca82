"""Regions of a program that only move elements, evaluated on the indices of the tensor they start from."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_MOVING = frozenset(
    {
        "reshape.default",
        "view.default",
        "_unsafe_view.default",
        "unsqueeze.default",
        "squeeze.dim",
        "squeeze.dims",
        "flatten.using_ints",
        "unflatten.int",
        "permute.default",
        "transpose.int",
        "slice.Tensor",
        "narrow.default",
        "select.int",
        "unbind.int",
        "split.Tensor",
        "split_with_sizes.default",
        "chunk.default",
        "cat.default",
        "stack.default",
        "roll.default",
        "flip.default",
    }
)


@dataclass(frozen=True, slots=True)
class Region:
    """Everything that moves elements between one tensor and one result.

    Attributes:
        source: the node that all elements come from.
        indices: int64, of the result's shape: position of each element in the flattened source.
        nodes: the moving nodes, the result's own first.
    """

    source: torch.fx.Node
    indices: torch.Tensor
    nodes: tuple[torch.fx.Node, ...]


def is_move(node: torch.fx.Node) -> bool:
    """Whether the node only picks or reorders elements; an item of a split counts with its split."""
    if node.target is operator.getitem:
        return is_move(node.all_input_nodes[0])
    name = str(node.target)
    return name.startswith("aten.") and name.removeprefix("aten.") in _MOVING


def region_of(result: torch.fx.Node, begin: frozenset[torch.fx.Node] = frozenset()) -> Region | None:
    """The region that ends in `result`, a move; None if its elements come from several tensors.

    Args:
        begin: moves that count as sources: the region goes back to them and not further.
    """
    import torch

    source: torch.fx.Node | None = None
    order: list[torch.fx.Node] = []
    pending = [result]
    while pending:
        node = pending.pop()
        if node in order:
            continue
        order.append(node)
        for read in node.all_input_nodes:
            if is_move(read) and read not in begin:
                pending.append(read)
            elif source not in (None, read):
                return None
            else:
                source = read
    if source is None or not isinstance(source.meta.get("val"), torch.Tensor):
        return None
    shape = source.meta["val"].shape
    values: dict[torch.fx.Node, Any] = {source: torch.arange(shape.numel()).reshape(shape)}
    for node in result.graph.nodes:  # in execution order
        if node in order:
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)
    return Region(source, values[result], tuple(order))


def shared(region: Region) -> frozenset[torch.fx.Node]:
    """The moves inside the region, except its result, that others read too."""
    inside = set(region.nodes)
    return frozenset(n for n in region.nodes[1:] if any(user not in inside for user in n.users))


def freed(results: tuple[torch.fx.Node, ...], regions: tuple[Region, ...]) -> int:
    """How many operations go away when nobody reads `results` any more."""
    inside = {node for region in regions for node in region.nodes}
    gone = set(results)
    grown = True
    while grown:
        more = {n for n in inside - gone if n.users and all(u in gone for u in n.users)}
        grown = bool(more)
        gone |= more
    return sum(1 for node in gone if node.target is not operator.getitem)
