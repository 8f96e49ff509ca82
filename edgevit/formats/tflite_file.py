"""Read a .tflite file: its operators and tensors by name, its metadata, and a copy with more outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgevit.agent.integer_macs import TFLITE_PRODUCTS, of_tflite
from edgevit.core.disk.reading import reads
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, UsageError
from edgevit.core.require import require

EXTRA: Final = "tflite"
AGAIN: Final = "convert the model again"
_IDENTIFIER: Final = b"TFL3"
MULTIPLYING: Final = TFLITE_PRODUCTS


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file.

    Attributes:
        data: None unless it is a constant.
        scale, zero_point: of one that has a single scale, None of any other.
        constant: also one whose data lie behind the flatbuffer, so that `data` is None.
        signature: the shape with -1 for each dimension that the caller may set; () if there is none.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    data: Any
    scale: float | None = None
    zero_point: int | None = None
    constant: bool = False
    signature: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the file in execution order; tensors by index, -1 for one that is left out.

    Attributes:
        custom: it is none of TFLite's own: `kind` is then its custom code, `FlexX` for TensorFlow's operator X.
        version: which the format raises for each new type or shape that an operator takes.
        options: attributes by the names of the schema, such as keepNumDims, as numbers, text or tuples of them.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom: bool = False
    version: int = 1
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The first subgraph of a .tflite file, which is what an interpreter executes."""

    path: Path
    raw: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, bytes]
    description: str

    def names_of_outputs(self) -> tuple[str, ...]:
        """Names of the output tensors."""
        return tuple(self.tensors[index].name for index in self.outputs)


@reads("TFLite file", AGAIN)
def read(path: Path) -> TfliteFile:
    """Parse without executing anything.

    Raises:
        InputError: missing, unreadable, or not a TFLite flatbuffer.
    """
    return _parse(path, _bytes(path))


def with_outputs(file: TfliteFile, names: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    """A copy of the flatbuffer whose outputs also are the tensors `names`, and their indices.

    A delegate keeps what happens between its ends to itself, so a tensor that is to be read must be an end.
    `#INDEX` names a tensor by its index, where several share a name.

    Raises:
        UsageError: a name that no computed tensor has, or that several have.
    """
    schema = require("ai_edge_litert.schema_py_generated", EXTRA)
    by_name: dict[str, list[int]] = {}
    for operator in file.operators:
        for index in operator.outputs:
            by_name.setdefault(file.tensors[index].name, []).append(index)
            by_name.setdefault(f"#{index}", []).append(index)
    indices = {}
    for name in names:
        found = by_name.get(name, [])
        if len(found) != 1:
            raise UsageError(
                f"{file.path} has {len(found)} computed tensors called {name!r}",
                "tap a tensor by its unique name",
            )
        indices[name] = found[0]
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(file.raw), 0))
    part = model.subgraphs[0]
    known = [int(t) for t in part.outputs]
    part.outputs = known + [index for index in dict.fromkeys(indices.values()) if index not in known]
    builder = require("flatbuffers", EXTRA).Builder(len(file.raw))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output()), indices


def macs(file: TfliteFile, operator: Operator) -> int:
    """Multiply-accumulates of an operator; 0 of one that is none of `MULTIPLYING`."""
    if operator.kind not in MULTIPLYING:
        return 0
    left, right, output = (file.tensors[t].shape for t in (*operator.inputs[:2], operator.outputs[0]))
    return of_tflite(operator.kind, left, right, output)


def _bytes(path: Path) -> bytes:
    try:
        raw = regular_file(path, "the TFLite file").read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
    if raw[4:8] != _IDENTIFIER:
        raise InputError(f"{path} is not a TFLite file", "a .tflite file has TFL3 at its fifth byte")
    return raw


def _parse(path: Path, raw: bytes) -> TfliteFile:
    schema = require("ai_edge_litert.schema_py_generated", EXTRA)
    model = schema.Model.GetRootAs(raw, 0)
    part = model.Subgraphs(0)
    kinds, types = _names(schema.BuiltinOperator), _names(schema.TensorType)
    tensors = []
    for index in range(part.TensorsLength()):
        tensor = part.Tensors(index)
        buffer = model.Buffers(tensor.Buffer())
        data = buffer.DataAsNumpy() if buffer.DataLength() else None
        scale, zero_point = _grid(tensor.Quantization())
        tensors.append(
            Tensor(
                index=index,
                name=_text(tensor.Name()),
                shape=tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())),
                dtype=types[tensor.Type()].lower(),
                buffer=int(tensor.Buffer()),
                data=data,
                scale=scale,
                zero_point=zero_point,
                constant=data is not None or buffer.Offset() > 1,
                signature=tuple(
                    int(tensor.ShapeSignature(axis)) for axis in range(tensor.ShapeSignatureLength())
                ),
            )
        )
    operators = []
    for index in range(part.OperatorsLength()):
        operator = part.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        custom = kind == "CUSTOM"
        if custom:
            kind = _text(code.CustomCode())
        operators.append(
            Operator(
                kind,
                tuple(int(operator.Inputs(i)) for i in range(operator.InputsLength())),
                tuple(int(operator.Outputs(i)) for i in range(operator.OutputsLength())),
                custom,
                int(code.Version()),
                _options(schema.OperatorT.InitFromObj(operator).builtinOptions),
            )
        )
    return TfliteFile(
        path=path,
        raw=raw,
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=_ints(part.Inputs(i) for i in range(part.InputsLength())),
        outputs=_ints(part.Outputs(i) for i in range(part.OutputsLength())),
        metadata=_metadata(model),
        description=_text(model.Description()),
    )


def _options(options: Any) -> dict[str, object]:
    given = {} if options is None else vars(options)
    return {
        name: tuple(value) if isinstance(value, list) or hasattr(value, "tolist") else value
        for name, value in given.items()
    }


def _grid(grid: Any) -> tuple[float | None, int | None]:
    if grid is None or grid.ScaleLength() != 1:
        return None, None
    return float(grid.Scale(0)), int(grid.ZeroPoint(0)) if grid.ZeroPointLength() else 0


def _metadata(model: Any) -> dict[str, bytes]:
    found = {}
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        buffer = model.Buffers(entry.Buffer())
        found[_text(entry.Name())] = buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""
    return found


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


def _ints(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _text(value: bytes | None) -> str:
    return value.decode() if value else ""
