"""Every quantized tensor of an .onnx file: what can be read of it without changing how HTP executes it.

A real number between two operators, once it were an output, would keep the operator that makes it from being quantized.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core import metadata_keys
from edgevit.core.disk.reading import reads
from edgevit.core.runner import FileValue
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._onnxruntime.values import elements, number

if TYPE_CHECKING:
    import onnx


@reads("ONNX file", ort_session.AGAIN)
def read(path: Path) -> tuple[FileValue, ...]:
    """In execution order, what depends on the input and has one scale. Nothing is executed.

    Raises:
        InputError: missing or not ONNX.
    """
    model = ort_session.read_model(path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    sizes = {v.name: elements(v) for v in (*model.graph.value_info, *model.graph.output)}
    depends = {value.name for value in model.graph.input} - set(constants)
    found: list[FileValue] = []
    for node in model.graph.node:
        if not depends & set(node.input):
            continue
        depends.update(node.output)
        grid = [constants.get(name) for name in node.input[1:3]]
        if node.op_type != "QuantizeLinear" or len(grid) < 2:
            continue
        if all(tensor is not None and math.prod(tensor.dims) == 1 for tensor in grid):
            scale, zero = (number(tensor) for tensor in grid)
            name = node.output[0]
            found.append(FileValue(name, _site(node, makers), sizes.get(name), scale, int(zero)))
    return tuple(found)


def _site(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> str:
    """Of the operator whose result is quantized."""
    for one in (makers.get(node.input[0]), node):
        for entry in one.metadata_props if one is not None else ():
            if entry.key == metadata_keys.SITE:
                return str(entry.value)
    return ""
