"""Sites: the one name of every operation, given after the rewrites and kept through every file."""

from __future__ import annotations

import math
import operator
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core import metadata_keys
from edgevit.core.types import Graph
from edgevit.program import constants

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_ROLES = {
    "conv2d": "conv",
    "convolution": "conv",
    "conv_transpose1d": "conv_transpose",
    "conv_transpose2d": "conv_transpose",
    "mm": "matmul",
    "bmm": "matmul",
    "addmm": "matmul",
    "baddbmm": "matmul",
    "_softmax": "softmax",
    "native_layer_norm": "layer_norm",
}
WEIGHTED = ("linear", "conv")
PRODUCTS = ("qk", "av")
_CONVOLVING = ("conv", "conv1d", "conv3d")
MULTIPLYING = (*WEIGHTED, *_CONVOLVING[1:], "conv_transpose", *PRODUCTS, "matmul", "einsum")


@dataclass(frozen=True, slots=True)
class Site:
    """One operation of a Graph.

    Attributes:
        name: `module.path[@call]:role[.n]`.
        kind: the role without its number.
        node: name of the node in the program.
        source: site name of the operation that makes the first input, `image` for the model's input.
        macs: multiply-accumulates for one image; 0 where the kind has none.
        weight, bias: names of the constants, None where there are none.
        shape: of the output, with the batch axis of 1.
        values: how many values it reads from its first input and writes, for one image.
        rhs: of a product of two activations, what makes its second operand, named as `source`; None elsewhere.
    """

    name: str
    kind: str
    node: str
    source: str
    macs: int
    weight: str | None
    bias: str | None
    shape: tuple[int, ...]
    values: int
    rhs: str | None = None


def name_sites(program: ExportedProgram) -> None:
    """Write the site name of every operation that has none into its `meta['custom']`.

    A rewrite that copies the `meta` of a node must leave out the name, or keep it on one node alone.

    Raises:
        ValueError: two operations with one name.
    """
    operations = [n for n in program.graph_module.graph.nodes if _is_operation(n)]
    given = Counter(name for name in map(named, operations) if name)
    twice = [name for name, count in given.items() if count > 1]
    if twice:
        raise ValueError(f"several operations are called {twice[0]}")
    seen: Counter[str] = Counter()
    for node in operations:
        custom = dict(node.meta.get("custom") or {})
        if metadata_keys.SITE in custom:
            continue
        stem = f"{_module_path(node)}:{custom.get(metadata_keys.ROLE) or _role(node)}"
        while True:
            name = f"{stem}.{seen[stem]}" if seen[stem] else stem
            seen[stem] += 1
            if name not in given:
                break
        node.meta["custom"] = {**custom, metadata_keys.SITE: name}


def kind_of(site: str) -> str:
    """What a site is, by its name: `blocks.0:add.1` gives `add`."""
    return site.rpartition(":")[2].partition(".")[0]


def module_of(site: str) -> str:
    """Path of its torch module: `blocks.0:add.1` gives `blocks.0`."""
    return site.rpartition(":")[0]


def named(node: torch.fx.Node) -> str:
    """The site name that a node carries, "" where it has none."""
    return str((node.meta.get("custom") or {}).get(metadata_keys.SITE, ""))


def site_of(node: torch.fx.Node) -> str:
    """Site name of a node; an input has its own name (`image`), one of several results ends in `#index`."""
    if node.op == "placeholder":
        return str(node.name)
    if node.target is operator.getitem:
        return f"{site_of(node.args[0])}#{node.args[1]}"
    return str(node.meta["custom"][metadata_keys.SITE])


def list_sites(graph: Graph) -> tuple[Site, ...]:
    """All operations in execution order."""
    program = graph.program
    names = constants.targets(program)
    return tuple(_site(n, names) for n in program.graph_module.graph.nodes if _is_operation(n))


def same_for_all_images(graph: Graph) -> frozenset[str]:
    """What does not depend on the model's input: names as in `source`, those of constants and of what they make."""
    names = constants.targets(graph.program)
    found: dict[torch.fx.Node, str] = {}
    for node in graph.program.graph_module.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            found[node] = node.name
        elif node.op == "call_function" and all(source in found for source in node.all_input_nodes):
            found[node] = site_of(node)
    return frozenset(found.values())


def total_macs(graph: Graph) -> int:
    """Multiply-accumulates of all convolutions, linear layers and matrix products, for one image."""
    return sum(site.macs for site in list_sites(graph))


def _is_operation(node: torch.fx.Node) -> bool:
    return node.op == "call_function" and node.target is not operator.getitem


def _site(node: torch.fx.Node, names: dict[str, str]) -> Site:
    name = site_of(node)
    kind = kind_of(name)
    first = next((a for a in node.args if hasattr(a, "op")), None)

    def constant(index: int) -> str | None:
        found = node.args[index] if len(node.args) > index else None
        return names.get(str(getattr(found, "name", "")))

    weighted = kind in WEIGHTED
    operands = [a for a in node.args[:2] if hasattr(a, "op")] if kind in PRODUCTS else []
    return Site(
        name=name,
        kind=kind,
        node=node.name,
        source=site_of(first) if first is not None else "",
        macs=_macs(node, kind),
        weight=constant(1) if weighted else None,
        bias=constant(2) if weighted else None,
        shape=_shape(node),
        values=math.prod(_shape(node)) + (math.prod(_shape(first)) if first is not None else 0),
        rhs=site_of(operands[1]) if len(operands) == 2 else None,
    )


def _shape(node: torch.fx.Node) -> tuple[int, ...]:
    """() where the node gives several values."""
    value = node.meta["val"]
    return tuple(map(int, value.shape)) if hasattr(value, "shape") else ()


def _macs(node: torch.fx.Node, kind: str) -> int:
    """Multiply-accumulates of one call: for each output, the length of the sum that makes it.

    A transposed convolution is counted from its inputs: each meets every weight of its group once.
    """
    if kind not in MULTIPLYING:
        return 0
    if kind == "einsum":
        return _einsum_macs(str(node.args[0]), node.args[1])
    shapes = [tuple(map(int, a.meta["val"].shape)) for a in node.args if hasattr(a, "meta")]
    if kind == "conv_transpose":
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    outputs = math.prod(map(int, node.meta["val"].shape))
    if kind == "linear" or kind in _CONVOLVING:
        return outputs * math.prod(shapes[1][1:])
    # The last two inputs are the factors, also behind the summand of addmm.
    return outputs * shapes[-2][-1]


def _einsum_macs(equation: str, operands: Any) -> int:
    """The product of the sizes of all indices."""
    inputs = equation.replace(" ", "").partition("->")[0].split(",")
    shapes = [operand.meta["val"].shape for operand in operands]
    sizes = {i: n for p, s in zip(inputs, shapes, strict=True) for i, n in zip(p, s, strict=False)}
    return math.prod(map(int, sizes.values()))


def _module_path(node: torch.fx.Node) -> str:
    """Path of the innermost module that owns the node, with `@call` where it is called again."""
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return ""
    key, (path, _) = list(stack.items())[-1]
    _, mark, call = str(key).rpartition("@")
    return f"{path}@{call}" if mark else str(path)


def _role(node: torch.fx.Node) -> str:
    target = getattr(node.target, "_opname", None) or getattr(node.target, "__name__", str(node.target))
    target = str(target).split(".")[0]
    if target == "convolution" and len(node.args) > 6 and node.args[6]:
        return "conv_transpose"
    return _ROLES.get(target, target)
