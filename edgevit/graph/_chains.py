"""Read chains of reshapes and permutations from a program, and write the layout that they amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.program import edit
from edgevit.program.layout import Layout, Step, identity, permuted, reshaped, steps

if TYPE_CHECKING:
    import torch

_RESHAPING = frozenset(
    {
        "reshape.default",
        "view.default",
        "_unsafe_view.default",
        "unsqueeze.default",
        "squeeze.default",
        "squeeze.dim",
        "squeeze.dims",
        "flatten.using_ints",
        "unflatten.int",
    }
)
_PERMUTING = frozenset(
    {
        "permute.default",
        "transpose.int",
        "t.default",
        "movedim.int",
        "movedim.intlist",
        "swapaxes.default",
        "swapdims.default",
    }
)


def is_link(node: object) -> bool:
    """Whether the node only reorders the elements of its first input."""
    return _name(node) in _RESHAPING or _name(node) in _PERMUTING


def permutes(node: torch.fx.Node) -> bool:
    """Whether the node is a permutation of axes."""
    return _name(node) in _PERMUTING


def is_plain(node: torch.fx.Node) -> bool:
    """Whether the link is written as `reshape` to numbers all known, or as `permute`."""
    if _name(node) == "reshape.default":
        return tuple(node.args[1]) == edit.shape(node)
    return _name(node) == "permute.default"


def links(node: torch.fx.Node) -> tuple[torch.fx.Node, ...]:
    """The links that end in `node`, last first; their source is the first input of the last of them."""
    found = []
    while is_link(node):
        found.append(node)
        node = _input(node)
    return tuple(found)


def layout_between(source: torch.fx.Node, chain: tuple[torch.fx.Node, ...]) -> Layout | None:
    """The layout of `chain` (last first) from `source` on; None if its axes do not nest."""
    layout: Layout | None = identity(edit.shape(source))
    for position in reversed(range(len(chain))):
        node = chain[position]
        if permutes(node):
            layout = permuted(layout, axes_of(node)) if layout else None
        elif position == 0 or permutes(chain[position - 1]):
            # Of several reshapes in a row only the last counts.
            layout = reshaped(layout, edit.shape(node)) if layout else None
    return layout


def axes_of(node: torch.fx.Node) -> tuple[int, ...]:
    """The permutation that a permuting node is: result axis -> input axis."""
    import torch

    rank = len(edit.shape(node))
    probe = torch.empty(tuple(range(2, 2 + rank)), device="meta")
    args = (probe, *node.args[1:])
    return tuple(n - 2 for n in node.target(*args, **node.kwargs).shape)


def write(
    source: torch.fx.Node, layout: Layout, shape: tuple[int, ...], before: torch.fx.Node, like: torch.fx.Node
) -> torch.fx.Node:
    """Insert the steps from `source` to `layout`, shaped as `shape`, in front of `before`."""
    return apply_steps(source, steps(edit.shape(source), layout, shape), before, like)


def apply_steps(
    source: torch.fx.Node, found: tuple[Step, ...], before: torch.fx.Node, like: torch.fx.Node
) -> torch.fx.Node:
    """Insert the steps in front of `before`, as operations of the module of `like`."""
    import torch

    aten = torch.ops.aten
    node = source
    for kind, value in found:
        target = aten.reshape.default if kind == "reshape" else aten.permute.default
        node = edit.emit(before, target, (node, list(value)), like=like)
    return node


def as_steps(chain: tuple[torch.fx.Node, ...]) -> tuple[Step, ...]:
    """The chain (last first) as it stands."""
    return tuple(
        ("permute", axes_of(n)) if permutes(n) else ("reshape", edit.shape(n)) for n in reversed(chain)
    )


def _name(node: object) -> str:
    target = getattr(node, "target", None)
    return str(target).removeprefix("aten.") if str(target).startswith("aten.") else ""


def _input(node: torch.fx.Node) -> torch.fx.Node:
    import torch

    found = node.args[0]
    assert isinstance(found, torch.fx.Node)
    return found
