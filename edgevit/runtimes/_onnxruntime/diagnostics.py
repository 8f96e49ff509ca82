"""Which node of an ONNX file an error of ONNX Runtime speaks of, and where in the model that node is from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from edgevit.core import metadata_keys
from edgevit.program import sites
from edgevit.program.diagnostics import frames, innermost

if TYPE_CHECKING:
    import onnx

# How ONNX Runtime names a node, and where it names none, the operator.
_NODES: Final = tuple(
    map(
        re.compile,
        (
            r"In Node, \(\"(?P<name>[^\"]+)\"",
            r"[Nn]ode:? ?\((?P<name>[^()]+)\)",
            r"[Nn]ame:'(?P<name>[^']+)'",
            r"[Nn]ode(?: with name)? '(?P<name>[^']+)'",
        ),
    )
)
_OPERATORS: Final = tuple(
    map(
        re.compile,
        (
            r"(?:[\w.]+:)?(?P<type>\w+)\(-?\d+\) is not a registered",
            r"implementation for (?:[\w.]+[:.])?(?P<type>\w+)\(\d+\)",
            r"No Op registered for (?P<type>\w+)",
            r"running (?P<type>\w+) node",
        ),
    )
)
_TRACE: Final = "pkg.torch.onnx.stack_trace"  # as PyTorch's exporter writes it
_SCOPES: Final = "pkg.torch.onnx.name_scopes"


def blamed(said: str, model: onnx.ModelProto) -> str:
    """`; it is the operator TYPE, node 'NAME' ...`, or nothing where the error names none that is in the file.

    Args:
        said: the error's whole text.
        model: the file.
    """
    node = _node(said, model)
    if node is None:
        return ""
    kept = _kept(node)
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    where = f"; it is the operator {operator}" + (f", node {node.name!r}" if node.name else "")
    if kept.get(metadata_keys.SITE):
        where += f", site {kept[metadata_keys.SITE]!r}"
    elif module := module_of(node):
        where += f", of the module {module!r}"
    frame = innermost(frames(kept.get(_TRACE, "")))
    return where + (f", at {frame}" if frame is not None else "")


def module_of(node: onnx.NodeProto) -> str:
    """Path of the torch module that a node comes from, by its site or PyTorch's exporter; "" where it says neither."""
    kept = _kept(node)
    site = kept.get(metadata_keys.SITE) or kept.get(metadata_keys.SITES, "").partition("\n")[0]
    if site:
        return sites.module_of(site).partition("@")[0]
    scopes = re.findall(r"'([^']*)'", kept.get(_SCOPES, ""))
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _kept(node: onnx.NodeProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in node.metadata_props}


def _node(said: str, model: onnx.ModelProto) -> onnx.NodeProto | None:
    nodes: list[onnx.NodeProto] = list(model.graph.node)
    named = {match["name"] for pattern in _NODES for match in pattern.finditer(said)}
    kinds = {match["type"] for pattern in _OPERATORS for match in pattern.finditer(said)}
    by_name = (node for node in nodes if node.name and node.name in named)
    return next(by_name, next((node for node in nodes if node.op_type in kinds), None))
