"""What an ONNX file holds: metadata, constants by type, operators, ends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.agent.opened import exact_sums_needed
from edgevit.core import metadata_keys, outputs
from edgevit.core.disk.reading import reads
from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.core.runner import Contents
from edgevit.core.types import TensorSpec
from edgevit.formats import preprocess_json
from edgevit.formats.labels import parse_labels
from edgevit.runtimes._onnxruntime import session

if TYPE_CHECKING:
    import onnx

    from edgevit.core.outputs import Activation

_LARGE = 1 << 20
_OWN = (metadata_keys.PREPROCESS, metadata_keys.LABELS, metadata_keys.OUTPUT)


@reads("ONNX file", session.AGAIN)
def read(path: Path) -> Contents:
    """Read back what the file carries; nothing is executed.

    Raises:
        InputError: not an ONNX file, or malformed metadata.
    """
    onnx = require("onnx", session.EXTRA)
    model = session.read_model(path)
    bytes_by_type: Counter[str] = Counter()
    for tensor in _constants(model.graph):
        bytes_by_type[_dtype(tensor.data_type)] += _stored_bytes(tensor)
        if len(tensor.raw_data) > _LARGE:  # shapes do not follow from it, and a copy of it is no small thing
            tensor.ClearField("raw_data")
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # the C++ checker raises its own classes and RuntimeError
        raise InputError(
            f"{path}: its shapes contradict each other: {brief(error)}", session.AGAIN
        ) from error
    metadata = session.metadata(model)
    text = metadata.get(metadata_keys.PREPROCESS)
    ends = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    ranks = [len(v.type.tensor_type.shape.dim) for v in ends] + [len(t.dims) for t in model.graph.initializer]
    extra = {"producer": model.producer_name} if model.producer_name else {}
    versions = sorted((o.domain or "ai.onnx", int(o.version)) for o in model.opset_import)
    opsets = {f"opset.{domain}": str(version) for domain, version in versions}
    kernels = {"x64quantprecision": "1"} if exact_sums_needed() else {}
    return Contents(
        preprocess=preprocess_json.loads(text)[0] if text is not None else None,
        labels=parse_labels(metadata.get(metadata_keys.LABELS, "[]"), path),
        weight_bytes=dict(bytes_by_type.most_common()),
        operators=tuple(Counter(node.op_type for node in model.graph.node).most_common()),
        max_rank=max(ranks, default=0),
        inputs=tuple(_spec(value) for value in model.graph.input),
        outputs=tuple(_spec(value) for value in model.graph.output),
        output=outputs.loads(metadata.get(metadata_keys.OUTPUT), path),
        activation=_activation(model.graph),
        metadata={k: v for k, v in metadata.items() if k not in _OWN} | extra | opsets | kernels,
        requires=tuple(f"opset {domain} {version}" for domain, version in versions),
    )


def _activation(graph: onnx.GraphProto) -> Activation:
    makers = {
        name: (node.op_type, node.input[0]) for node in graph.node if node.input for name in node.output
    }
    name = outputs.principal([value.name for value in graph.output])
    return "none" if name is None else outputs.last_activation(name, makers.get)


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _constants(attribute.g)


def _dtype(code: int) -> str:
    """As numpy spells it where numpy has it: float32, int8; else as ONNX does: int4, float8e4m3fn."""
    onnx = require("onnx", session.EXTRA)
    name = str(onnx.TensorProto.DataType.Name(code)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _stored_bytes(tensor: onnx.TensorProto) -> int:
    """From its shape: the numbers themselves may stand in another file."""
    onnx = require("onnx", session.EXTRA)
    count = int(math.prod(tensor.dims))
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return (count + 1) // 2
    if tensor.data_type == onnx.TensorProto.STRING:
        return int(sum(len(text) for text in tensor.string_data))
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    return TensorSpec(value.name, tuple(int(d.dim_value) for d in tensor.shape.dim), _dtype(tensor.elem_type))
