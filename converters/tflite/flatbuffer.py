"""Read, edit and write a TFLite flatbuffer through the schema's object API."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import UnsupportedError
from edgevit.core.require import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.tflite.objects import Blocks, Indices, Model, Operator, SubGraph, Tensor

EXTRA: Final = "tflite"
_ALIGNMENT: Final = 16
LIMIT: Final = (1 << 31) - 1
_NUMPY: Final = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT8": "i1",
    "UINT8": "u1",
    "INT4": "i1",  # in memory; the file holds two in a byte, the first in the low half
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "BOOL": "?",
}


def schema() -> Any:
    """The generated module of the TFLite schema."""
    return require("ai_edge_litert.schema_py_generated", EXTRA)


def read(data: bytes) -> Model:
    """Parse into the schema's `ModelT`, which can be edited freely; constants stay views of `data`."""
    tflite = schema()
    model: Model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAs(data, 0))
    return model


def duplicate(model: Model) -> Model:
    """A copy to be edited; the constants themselves are shared, so replace them, do not write into them."""
    shared = {id(b.data): b.data for b in model.buffers if b.data is not None}
    return copy.deepcopy(model, shared)


def pack(model: Model) -> bytearray:
    """Serialize; equal models give equal bytes.

    Raises:
        UnsupportedError: above 2 GiB, the end of a flatbuffer's offsets.
    """
    flatbuffers = require("flatbuffers", EXTRA)

    class Aligned(flatbuffers.Builder):  # type: ignore[misc, name-defined]
        """Buffers start at multiples of 16 bytes, as the schema asks; Python's builder leaves them anywhere."""

        def CreateNumpyVector(self, values: Any) -> int:
            if values.dtype.itemsize == 1 and values.size >= _ALIGNMENT:
                self.Prep(_ALIGNMENT, values.size)
            return int(super().CreateNumpyVector(values))

    size = sum(len(b.data) for b in model.buffers if b.data is not None)
    if size > LIMIT:
        raise UnsupportedError(
            f"the model's constants take {size} bytes, a .tflite file ends at {LIMIT}",
            "choose a smaller model or 8-bit weights",
        )
    builder = Aligned(size + (1 << 24))  # room for all else: growing would copy everything
    builder.Finish(model.Pack(builder), b"TFL3")
    del builder.Bytes[: builder.Head()]
    return builder.Bytes  # type: ignore[no-any-return]


def graph(model: Model) -> SubGraph:
    """The one subgraph.

    Raises:
        UnsupportedError: control flow or composites gave the model more than one.
    """
    if len(model.subgraphs) != 1:
        raise UnsupportedError(
            f"the converted model has {len(model.subgraphs)} subgraphs, edgevit writes models with one",
            "write the model without control flow, or leave tflite out of --to",
        )
    return model.subgraphs[0]


def text(value: bytes | str | None) -> str:
    """A flatbuffer string as `str`."""
    return value.decode() if isinstance(value, bytes) else value or ""


def kind(model: Model, operator: Operator) -> str:
    """Type of an operator as the schema spells it: FULLY_CONNECTED, CONV_2D, ..."""
    code = model.operatorCodes[operator.opcodeIndex]
    return _names(schema().BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]


def dtype(tensor: Tensor) -> str:
    """Element type of a tensor as the schema spells it: FLOAT32, INT8, ..."""
    return _names(schema().TensorType)[tensor.type]


def constant(model: Model, index: int) -> NDArray[np.generic] | None:
    """Value of a constant tensor, None if it is computed at run time or its type is not one we edit."""
    import numpy as np

    if index < 0:
        return None
    tensor = graph(model).tensors[index]
    data = model.buffers[tensor.buffer].data
    name = _NUMPY.get(dtype(tensor))
    if data is None or len(data) == 0 or name is None or dtype(tensor) == "INT4":
        return None
    return np.frombuffer(data, np.dtype(name)).reshape([int(n) for n in tensor.shape])


def add_tensor(
    model: Model,
    name: str,
    shape: Indices | Sequence[int],
    kind: str,
    value: NDArray[np.generic] | None = None,
) -> int:
    """Add a tensor, constant if `value` is given; returns its index."""
    import numpy as np

    tflite = schema()
    tensor = tflite.TensorT()
    tensor.name = name.encode()
    tensor.shape = np.asarray(shape, np.int32)
    tensor.type = getattr(tflite.TensorType, kind)
    tensor.buffer = 0
    if value is not None:
        buffer = tflite.BufferT()
        flat = np.ascontiguousarray(value, _NUMPY[kind]).reshape(-1).view(np.uint8)
        buffer.data = _in_nibbles(flat) if kind == "INT4" else flat
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    tensors = graph(model).tensors
    tensors.append(tensor)
    return len(tensors) - 1


def set_quantization(
    tensor: Tensor, scale: Sequence[float], zero_point: Sequence[int], axis: int = 0
) -> None:
    """Give a tensor its affine grid: one scale, or one per index of `axis`."""
    import numpy as np

    params = schema().QuantizationParametersT()
    params.scale = np.asarray(scale, np.float32)
    params.zeroPoint = np.asarray(zero_point, np.int64)
    params.quantizedDimension = axis
    tensor.quantization = params


def set_blocks(tensor: Tensor, scales: int, block: int) -> None:
    """Give a tensor (out, in) a scale for each `block` of a row: those of the tensor with index `scales`."""
    tflite = schema()
    details = tflite.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = scales, -1, block
    params = tflite.QuantizationParametersT()
    params.detailsType = tflite.QuantizationDetails.BlockwiseQuantization
    params.details = details
    tensor.quantization = params


def new_operator(
    model: Model, name: str, version: int, inputs: Sequence[int], outputs: Sequence[int]
) -> Operator:
    """An operator without options; the caller puts it where it belongs."""
    import numpy as np

    operator: Operator = schema().OperatorT()
    operator.inputs = np.asarray(inputs, np.int32)
    operator.outputs = np.asarray(outputs, np.int32)
    set_version(model, operator, name, version)
    return operator


def set_version(model: Model, operator: Operator, name: str, version: int) -> None:
    """Make `operator` a `name` of at least `version`: the first that knows the types it is given."""
    tflite = schema()
    builtin = getattr(tflite.BuiltinOperator, name)
    if operator.opcodeIndex and kind(model, operator) == name:
        version = max(version, model.operatorCodes[operator.opcodeIndex].version)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
            operator.opcodeIndex = index
            return
    code = tflite.OperatorCodeT()
    code.builtinCode = builtin
    code.deprecatedBuiltinCode = min(builtin, 127)
    code.version = version
    model.operatorCodes.append(code)
    operator.opcodeIndex = len(model.operatorCodes) - 1


def compact(model: Model) -> dict[int, int]:
    """Drop operators, tensors, buffers and operator codes that nothing uses; returns old -> new tensors."""
    part = graph(model)
    needed = {int(t) for t in part.outputs}
    kept = []
    for operator in reversed(part.operators):
        if needed & {int(t) for t in operator.outputs}:
            needed |= {int(t) for t in operator.inputs if t >= 0}
            kept.append(operator)
    part.operators = kept[::-1]
    used = needed | {int(t) for t in part.inputs}
    used |= {int(t) for operator in part.operators for t in operator.outputs}
    used |= {int(d.scales) for index in used if (d := _blocks(part.tensors[index])) is not None}
    new = {old: index for index, old in enumerate(sorted(used))}
    part.tensors = [part.tensors[old] for old in sorted(used)]
    for details in filter(None, map(_blocks, part.tensors)):
        details.scales = new[int(details.scales)]
    for operator in part.operators:
        operator.inputs = _renumber(operator.inputs, new)
        operator.outputs = _renumber(operator.outputs, new)
    part.inputs, part.outputs = _renumber(part.inputs, new), _renumber(part.outputs, new)
    for signature in model.signatureDefs or ():
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = new[int(entry.tensorIndex)]
    _compact_buffers(model)
    codes = sorted({operator.opcodeIndex for operator in part.operators})
    model.operatorCodes = [model.operatorCodes[old] for old in codes]
    for operator in part.operators:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    return new


def make_names_unique(model: Model) -> None:
    """Append `#2`, `#3`, ... where several tensors share a name, so that a name says which tensor is meant."""
    seen: set[str] = set()
    for tensor in graph(model).tensors:
        stem = text(tensor.name)
        name, count = stem, 1
        while name in seen:
            count += 1
            name = f"{stem}#{count}"
        seen.add(name)
        tensor.name = name.encode()


def _compact_buffers(model: Model) -> None:
    # Buffer 0 is the empty one, by the schema.
    used = {0} | {int(t.buffer) for t in graph(model).tensors} | {int(m.buffer) for m in model.metadata or ()}
    new = {old: index for index, old in enumerate(sorted(used))}
    model.buffers = [model.buffers[old] for old in sorted(used)]
    for holder in (*graph(model).tensors, *(model.metadata or ())):
        holder.buffer = new[int(holder.buffer)]


def _blocks(tensor: Tensor) -> Blocks | None:
    """The details of a tensor with scales in blocks, None of any other."""
    params = tensor.quantization
    blocks = schema().QuantizationDetails.BlockwiseQuantization
    return params.details if params is not None and params.detailsType == blocks else None


def _in_nibbles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    even = np.append(values, np.uint8(0)) if len(values) % 2 else values
    packed: NDArray[np.uint8] = np.bitwise_or(even[0::2] & 15, even[1::2] << 4).astype(np.uint8)
    return packed


def _renumber(indices: Iterable[int], new: dict[int, int]) -> NDArray[np.int32]:
    import numpy as np

    return np.asarray([new[int(i)] if i >= 0 else -1 for i in indices], np.int32)


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}
