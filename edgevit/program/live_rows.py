"""Which rows of a layer's result the model's output depends on, where it is not all of them.

A ViT's head reads the class token alone, so of its last block's layers behind attention 256 of 257 rows are computed
for nothing. What such rows lose is no loss, and weights rounded for them are rounded for nothing.

Backwards over the program, for a value of (..., rows, channels): a select or slice along the rows reads those that it
names, an operation on each row for itself reads those that are read of its result, any other reads all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.types import Graph
from edgevit.program import edit
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch

_UNARY: Final = frozenset(
    {"gelu", "relu", "silu", "sigmoid", "hardswish", "tanh", "clone", "alias", "dropout"}
)
_BINARY: Final = frozenset({"add", "sub", "mul", "div"})
Rows = frozenset[int]


def live_rows(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Site -> the rows of its result, (..., rows, channels), that count; sites of which all do are left out."""
    live: dict[torch.fx.Node, Rows] = {}
    for node in reversed(graph.program.graph_module.graph.nodes):
        count = _row_count(node)
        if node.op != "call_function" or count is None:
            continue
        everything = frozenset(range(count))
        read: Rows = frozenset()
        for user in node.users:
            read |= _read_by(user, node, everything, live)
        if read < everything:
            live[node] = read
    return {site_of(node): tuple(sorted(rows)) for node, rows in live.items() if rows}


def _row_count(node: torch.fx.Node) -> int | None:
    value = node.meta.get("val")
    shape = getattr(value, "shape", None)
    return int(shape[-2]) if shape is not None and len(shape) > 1 else None


def _read_by(
    user: torch.fx.Node, node: torch.fx.Node, everything: Rows, live: dict[torch.fx.Node, Rows]
) -> Rows:
    """The rows of `node` that `user` needs."""
    if user.op != "call_function":
        return everything
    name = str(user.target).removeprefix("aten.").partition(".")[0]
    shape = edit.shape(node)
    axis = len(shape) - 2
    if name == "select":
        index = int(user.args[2])
        along = int(user.args[1]) % len(shape)
        return frozenset({index % shape[axis]}) if along == axis else everything
    if name == "slice":
        given = edit.bound(user, ("x", "dim", "start", "end", "step"))
        if int(given.get("dim") or 0) % len(shape) == axis:
            window = slice(given.get("start"), given.get("end"), given.get("step") or 1)
            return frozenset(range(shape[axis])[window])
        return live.get(user, everything)
    if _is_per_row(user, node, name) and edit.shape(user)[:-1] == shape[:-1]:
        return live.get(user, everything)
    return everything


def _is_per_row(user: torch.fx.Node, node: torch.fx.Node, name: str) -> bool:
    """Whether row i of the result is computed of row i of `node` and of no other."""
    if name == "linear":
        return user.args[0] is node and node not in user.args[1:]
    if name in ("layer_norm", "rms_norm"):
        normalized: object = user.args[1]
        return user.args[0] is node and isinstance(normalized, list | tuple) and len(normalized) == 1
    return name in _UNARY or name in _BINARY
