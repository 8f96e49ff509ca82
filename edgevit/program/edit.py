"""Small edits of an exported program: add an operation, replace one, ask what a node is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core import metadata_keys

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def emit(
    before: torch.fx.Node,
    target: Callable[..., Any],
    args: tuple[Any, ...],
    role: str = "",
    like: torch.fx.Node | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> torch.fx.Node:
    """Insert `target(*args)` in front of `before`; it belongs to the module of `like` (default: `before`).

    The site name of `like` is not copied: one name is one node. `role` names the new site's kind.
    """
    import torch

    graph = before.graph
    like = before if like is None else like
    with graph.inserting_before(before):
        made = graph.call_function(target, args, dict(kwargs or {}))
    made.meta = dict(like.meta)
    custom = {
        k: v
        for k, v in (like.meta.get("custom") or {}).items()
        if k not in (metadata_keys.SITE, metadata_keys.ROLE)
    }
    made.meta["custom"] = {**custom, metadata_keys.ROLE: role} if role else custom
    real_args, real_kwargs = torch.fx.map_arg((made.args, made.kwargs), lambda n: n.meta["val"])
    with fake_mode(graph):
        made.meta["val"] = target(*real_args, **real_kwargs)
    return made


def fake_mode(graph: torch.fx.Graph) -> Any:
    """The fake-tensor mode that the values of this graph's nodes belong to."""
    return next(n.meta["val"].fake_mode for n in graph.nodes if hasattr(n.meta.get("val"), "fake_mode"))


def replace(program: ExportedProgram, old: torch.fx.Node, new: torch.fx.Node) -> None:
    """Let every reader of `old`, the program's outputs included, read `new`; erase `old`."""
    old.replace_all_uses_with(new)
    for spec in program.graph_signature.output_specs:
        if spec.arg.name == old.name:
            spec.arg.name = new.name
    old.graph.erase_node(old)


def shape(node: torch.fx.Node) -> tuple[int, ...]:
    """Shape of the node's value."""
    return tuple(int(n) for n in node.meta["val"].shape)


def is_tensor(value: object) -> bool:
    """Whether `value` is a node with one tensor as its value."""
    import torch

    return isinstance(value, torch.fx.Node) and isinstance(value.meta.get("val"), torch.Tensor)


def axis(node: torch.fx.Node, index: int) -> int:
    """`index` counted from the front."""
    return index % len(shape(node))


def bound(node: torch.fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of the node by name, positional and keyword ones alike."""
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
