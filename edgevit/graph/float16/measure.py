"""What storing values in float16 costs at every operation of a Graph, measured on images.

Each operation runs in float32 on the float32 values, and again with one of its inputs rounded to
float16: the difference is the error that storing this input in float16 brings to its result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.graph.float16 import _internals
from edgevit.graph.float16._rounding import LARGEST, error, half, is_float, peak, power, stored
from edgevit.program import constants as program_constants
from edgevit.program.run import run
from edgevit.program.sites import site_of

if TYPE_CHECKING:
    import torch

    Values = list[torch.Tensor]


@dataclass(frozen=True, slots=True)
class Edge:
    """An input of an operation that depends on the image.

    Attributes:
        source: site name of the operation that makes it, or `image`.
        error: power of what rounding it to float16 changes in the operation's result.
    """

    source: str
    error: float


@dataclass(frozen=True, slots=True)
class Loss:
    """One operation on all images; powers are sums of squares over all elements of its results.

    Attributes:
        peak: largest absolute value of the float32 result; infinite where values stand for infinity.
        signal: power of the result.
        rounding: power of what storing the result in float16 changes.
        internal: error of computing it with its small internal results in float16; 0 where it has none.
        constants: error of storing its weights and other constants in float16.
        edges: its other float inputs.
    """

    site: str
    peak: float
    signal: float
    rounding: float
    internal: float = 0.0
    constants: float = 0.0
    edges: tuple[Edge, ...] = ()


def measure(graph: Graph, images: torch.Tensor, count: int) -> tuple[tuple[Loss, ...], tuple[str, ...]]:
    """Look at every operation with a float result.

    Args:
        images: float32 (N, 3, height, width), normalised; largest values are those of all of them.
        count: the first so many show what rounding costs, which takes ten times the time.

    Returns:
        One Loss per operation in execution order, that of `image` first, and the sites of the outputs.
    """
    program = graph.program.graph_module.graph
    fixed = set(program_constants.targets(graph.program))
    peaks = _peaks(graph, images)
    found: list[torch.Tensor] = []

    def around(
        node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = operation(*args, **kwargs)
        if _results(node, result):
            found.append(_look(node, operation, args, kwargs, result, fixed, peaks))
        return result

    def observe(node: torch.fx.Node, value: Any) -> Mapping[str, torch.Tensor]:
        if node.op == "placeholder":
            return {site_of(node): _row([value], peaks[site_of(node)] > LARGEST)}
        return {site_of(node): found.pop()} if found else {}

    rows = run(graph, images[:count], around, observe)[1]
    nodes = {site_of(n): n for n in program.nodes if n.op == "call_function"}
    losses = []
    for site, row in rows.items():
        signal, rounding, internal, constants, *errors = row.sum(0).tolist()
        edges = tuple(map(Edge, _sources(nodes.get(site), fixed), errors))
        losses.append(Loss(site, peaks[site], signal, rounding, internal, constants, edges))
    output = next(n for n in program.nodes if n.op == "output")
    return tuple(losses), tuple(site_of(n) for n in output.args[0])


def _peaks(graph: Graph, images: torch.Tensor) -> dict[str, float]:
    """Site -> largest absolute value of what it makes."""
    import torch

    def observe(node: torch.fx.Node, value: Any) -> Mapping[str, torch.Tensor]:
        results = [value] if node.op == "placeholder" else _results(node, value)
        return {site_of(node): torch.stack([peak(r) for r in results]).amax()} if results else {}

    return {site: float(v.max()) for site, v in run(graph, images, observe=observe)[1].items()}


def _look(
    node: torch.fx.Node,
    operation: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
    fixed: set[str],
    peaks: Mapping[str, float],
) -> torch.Tensor:
    from torch.utils import _pytree

    results = _results(node, result)
    sources = _sources(node, fixed)
    leaves = any(not peaks[name] <= LARGEST for name in (site_of(node), *sources))
    if node.target is operator.getitem:
        return _row(results, leaves, edges=[error(half(result, leaves), result, leaves)])
    values, form = _pytree.tree_flatten((args, kwargs))

    def error_of(replaced: Mapping[int, torch.Tensor]) -> torch.Tensor:
        again = _pytree.tree_unflatten([replaced.get(i, v) for i, v in enumerate(values)], form)
        return _errors(_results(node, operation(*again[0], **again[1])), results, leaves)

    named = [
        (i, a.name in fixed) for i, a in enumerate(_arguments(node)) if a is not None and is_float(values[i])
    ]
    constants = {i: stored(values[i]) for i, is_constant in named if is_constant}
    internal = _internals.compute(node.target, args, kwargs)
    return _row(
        results,
        leaves,
        None if internal is None else error(internal, results[0], leaves),
        error_of(constants) if constants else None,
        [error_of({i: half(values[i], leaves)}) for i, is_constant in named if not is_constant],
    )


def _row(
    results: Values,
    leaves: bool,
    internal: torch.Tensor | None = None,
    constants: torch.Tensor | None = None,
    edges: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """One image's numbers in the order of Loss's fields, float64 (4 + edges)."""
    import torch

    nothing = torch.zeros((), dtype=torch.float64)
    signal = torch.stack([power(r, leaves) for r in results]).sum()
    rounding = _errors([half(r, leaves) for r in results], results, leaves)
    return torch.stack([nothing if v is None else v for v in (signal, rounding, internal, constants, *edges)])


def _errors(got: Values, want: Values, leaves: bool) -> torch.Tensor:
    import torch

    return torch.stack([error(g, w, leaves) for g, w in zip(got, want, strict=True)]).sum()


def _results(node: torch.fx.Node, result: Any) -> Values:
    """The float tensors that an operation makes and that are read."""
    if not isinstance(result, (tuple, list)):
        return [result] if is_float(result) else []
    read = {u.args[1] for u in node.users if u.target is operator.getitem}
    return [r for i, r in enumerate(result) if i in read and is_float(r)]


def _arguments(node: torch.fx.Node) -> list[Any]:
    """What the node reads, in the order of its flattened arguments; None for numbers and the like."""
    from torch.utils import _pytree

    flat, _ = _pytree.tree_flatten((node.args, node.kwargs))
    return [a if hasattr(a, "op") else None for a in flat]


def _sources(node: Any, fixed: set[str]) -> tuple[str, ...]:
    if node is None:
        return ()
    if node.target is operator.getitem:
        return (site_of(node.args[0]),)
    float_inputs = (a for a in _arguments(node) if a is not None and a.name not in fixed)
    return tuple(site_of(a) for a in float_inputs if is_float(a.meta.get("val")))
