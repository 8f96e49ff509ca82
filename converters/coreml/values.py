"""Which value of a saved package holds the result of which site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.program.sites import named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

Handles = dict[int, list[tuple[str, str]]]
Shapes = tuple[tuple[int, ...], ...]


def number_sites(program: ExportedProgram) -> dict[str, int]:
    """Give every operation with a site name a number that coremltools carries along; site -> number."""
    nodes = [n for n in program.graph_module.graph.nodes if n.op == "call_function" and named(n)]
    for handle, node in enumerate(nodes):
        node.meta["debug_handle"] = handle
    return {named(node): handle for handle, node in enumerate(nodes)}


def result_shapes(program: ExportedProgram) -> dict[str, Shapes]:
    """Site -> shape of each of its results."""
    nodes = [n for n in program.graph_module.graph.nodes if n.op == "call_function" and named(n)]
    return {named(node): tuple(tuple(v.shape) for v in _values(node)) for node in nodes}


def named_values(
    specification: Any, handles: Handles, sites: Mapping[str, int], shapes: Mapping[str, Shapes]
) -> dict[str, str]:
    """Site -> name of the value that holds its result; results of an operation with several are `site#i`.

    Several operations may carry a site's number: the last of them with the site's own shapes holds
    the result, a cast only if there is nothing else. A site that coremltools left out, or merged
    into another operation, is not listed.
    """
    function = specification.mlProgram.functions["main"]
    operations = [
        operation
        for operation in function.block_specializations[function.opset].operations
        if operation.outputs and operation.type != "const"
    ]
    handle_of = {output: handle for handle, found in handles.items() for _, output in found}
    made: dict[int, list[Any]] = {}
    for operation in sorted(operations, key=lambda o: o.type != "cast"):
        made.setdefault(handle_of.get(operation.outputs[0].name, -1), []).append(operation)
    found: dict[str, str] = {}
    for site, handle in sites.items():
        same = [o for o in made.get(handle, ()) if tuple(map(_shape, o.outputs)) == shapes[site]]
        if same:
            names = [output.name for output in same[-1].outputs]
            found |= {f"{site}#{i}" if len(names) > 1 else site: name for i, name in enumerate(names)}
    return found


def _values(node: torch.fx.Node) -> list[Any]:
    value = node.meta.get("val")
    several = value if isinstance(value, tuple | list) else (value,)
    return [v for v in several if hasattr(v, "shape")]


def _shape(output: Any) -> tuple[int, ...]:
    return tuple(dimension.constant.size for dimension in output.type.tensorType.dimensions)
