"""Weights of an ONNX file that stand in files beside it: looked at before ONNX Runtime opens them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError

if TYPE_CHECKING:
    import onnx

_HINT = "put a plain copy of the weights beside the model, or convert it again"


def check_external(model: onnx.ModelProto, path: Path) -> None:
    """Refuse external data that leads elsewhere or never ends.

    A path out of the folder and a symbolic link out of it ONNX Runtime refuses as well; a hard link it cannot
    tell from a file. In an archive from somebody else it stands for a file of the user's own, whose content
    would go into the outputs.

    Raises:
        InputError: a path out of the folder of `path`, no plain file, or one with a second name elsewhere.
    """
    for location in sorted({name for tensor in _tensors(model) for name in _locations(tensor)}):
        parts = location.replace("\\", "/").split("/")
        if not location or location.startswith("/") or ".." in parts or ":" in parts[0]:
            raise InputError(f"{path}: its weights stand out of its folder, in {location!r}", _HINT)
        place = regular_file(path.parent / location, f"the weights of {path.name},", _HINT)
        if place.stat().st_nlink > 1:
            raise InputError(f"{place} is a hard link: it has another name elsewhere", _HINT)


def _locations(tensor: onnx.TensorProto) -> list[str]:
    return [entry.value for entry in tensor.external_data if entry.key == "location"]


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)
