"""Every computed tensor of an .onnx file, with the site that its node carries in its metadata."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core import metadata_keys
from edgevit.core.disk.reading import reads
from edgevit.core.runner import FileValue
from edgevit.runtimes._onnxruntime import session

if TYPE_CHECKING:
    import onnx

_INTEGER_OUTPUT = ("Conv",)


@reads("ONNX file", session.AGAIN)
def read(path: Path) -> tuple[FileValue, ...]:
    """In execution order, what depends on the input. Nothing is executed.

    A convolution whose result only goes into integers is given by these integers: reading its float
    result would keep ONNX Runtime from executing it in integers.

    Raises:
        InputError: missing or not ONNX.
    """
    model = session.read_model(path)
    counts = {v.name: elements(v) for v in (*model.graph.value_info, *model.graph.output)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: list[FileValue] = []
    depends = {value.name for value in model.graph.input} - set(constants)
    for node in model.graph.node:
        if not depends & set(node.input):
            continue
        depends.update(node.output)
        site = next((entry.value for entry in node.metadata_props if entry.key == metadata_keys.SITE), "")
        after = readers.get(node.output[0], [])
        only = after[0] if len(after) == 1 and after[0].op_type == "QuantizeLinear" else None
        if only is not None and node.op_type in _INTEGER_OUTPUT and len(only.input) > 2:
            grid = [constants.get(name) for name in only.input[1:3]]
            if all(tensor is not None and math.prod(tensor.dims) == 1 for tensor in grid):
                scale, zero = (number(tensor) for tensor in grid)
                found.append(FileValue(only.output[0], site, None, scale, int(zero)))
                continue
        found += [FileValue(name, site, counts.get(name)) for name in node.output if name]
    return tuple(found)


def elements(value: onnx.ValueInfoProto) -> int | None:
    """Number of its values, None where a size is not fixed."""
    sizes = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    return math.prod(sizes) if all(size > 0 for size in sizes) else None


def number(tensor: onnx.TensorProto | None) -> float:
    """The one value of a constant."""
    from onnx import numpy_helper

    assert tensor is not None
    return float(numpy_helper.to_array(tensor).item())
