"""A small hybrid, and independent readers of a .tflite file for the tests of that target."""

from __future__ import annotations

import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import tflite
import torch
from flatbuffers.number_types import Float32Flags, UOffsetTFlags
from numpy.typing import NDArray

CODES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
TYPES = {value: name for name, value in vars(tflite.TensorType).items() if not name.startswith("_")}


class Hybrid(torch.nn.Module):
    """Every kind of neighbour that a converter likes to fold into a weighted site."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = torch.nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False)
        self.norm = torch.nn.BatchNorm2d(16)
        self.pointwise = torch.nn.Conv2d(16, 24, 1)
        self.before = torch.nn.LayerNorm(24)
        self.q, self.k = torch.nn.Linear(24, 24), torch.nn.Linear(24, 24)
        self.v = torch.nn.Linear(24, 24, bias=False)
        self.proj = torch.nn.Linear(24, 24)
        self.gamma = torch.nn.Parameter(torch.ones(24))
        self.after = torch.nn.LayerNorm(24)
        self.head = torch.nn.Linear(24, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu(self.stem(image))
        x = torch.nn.functional.silu(self.norm(self.depthwise(x)))
        x = self.pointwise(x).flatten(2).transpose(1, 2)
        y = self.before(x)
        q, k, v = (m(y).unflatten(-1, (2, 12)).transpose(1, 2) for m in (self.q, self.k, self.v))
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.gamma * self.proj(mixed.transpose(1, 2).flatten(2))
        return self.head(self.after(x).mean(1))


def operators(path: Path) -> list[tuple[str, list[str], list[str]]]:
    """(type, types of the inputs, types of the outputs) of all operators, with the `tflite` package."""
    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    part = model.Subgraphs(0)

    def type_of(index: int) -> str:
        return TYPES[part.Tensors(index).Type()] if index >= 0 else "-"

    found = []
    for index in range(part.OperatorsLength()):
        operator = part.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = CODES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        found.append(
            (
                kind,
                [type_of(t) for t in operator.InputsAsNumpy()],
                [type_of(t) for t in operator.OutputsAsNumpy()],
            )
        )
    return found


def tensor(path: Path, name: str) -> tuple[NDArray[np.generic], NDArray[np.float32], int]:
    """Value, scales and quantized axis of a constant tensor, with the `tflite` package."""
    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    part = model.Subgraphs(0)
    for index in range(part.TensorsLength()):
        found = part.Tensors(index)
        if found.Name().decode() == name:
            dtype = {"INT8": np.int8, "INT32": np.int32, "FLOAT32": np.float32}[TYPES[found.Type()]]
            value = np.frombuffer(model.Buffers(found.Buffer()).DataAsNumpy().tobytes(), dtype)
            params = found.Quantization()
            scale, axis = (
                (params.ScaleAsNumpy(), params.QuantizedDimension()) if params else (np.ones(1, "f"), 0)
            )
            return value.reshape(found.ShapeAsNumpy()), scale, axis
    raise AssertionError(f"no tensor {name}")


class ModelMetadata:
    """TFLite Model Metadata, read by walking the tables with the field numbers of the public schema."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        model = tflite.Model.GetRootAs(data, 0)
        entries = [model.Metadata(i) for i in range(model.MetadataLength())]
        (own,) = [e for e in entries if e.Name() == b"TFLITE_METADATA"]
        raw = model.Buffers(own.Buffer()).DataAsNumpy().tobytes()
        assert raw[4:8] == b"M001"
        root = flatbuffers.Table(raw, flatbuffers.encode.Get(flatbuffers.packer.uoffset, raw, 0))
        self.name, self.author, self.license = (_string(root, slot) for slot in (0, 4, 5))
        subgraph = _tables(root, 3)[0]
        image, logits = _tables(subgraph, 2)[0], _tables(subgraph, 3)[0]
        self.input, self.output = _string(image, 0), _string(logits, 0)
        unit = _tables(image, 4)[0]
        self.unit_type = _byte(unit, 0)
        options = _union(unit, 1)
        self.mean, self.std = _floats(options, 0), _floats(options, 1)
        file = _tables(logits, 6)[0]
        self.file, self.file_type = _string(file, 0), _byte(file, 2)
        with zipfile.ZipFile(path) as archive:
            self.labels = archive.read(self.file).decode().splitlines()


def _offset(table: flatbuffers.Table, slot: int) -> int:
    return int(table.Offset(4 + 2 * slot))


def _string(table: flatbuffers.Table, slot: int) -> str:
    at = _offset(table, slot)
    return table.String(table.Pos + at).decode() if at else ""


def _byte(table: flatbuffers.Table, slot: int) -> int:
    return int(table.Bytes[table.Pos + _offset(table, slot)])


def _tables(table: flatbuffers.Table, slot: int) -> list[flatbuffers.Table]:
    at = _offset(table, slot)
    start, count = table.Vector(at), table.VectorLen(at)
    places = [start + 4 * i for i in range(count)]
    return [flatbuffers.Table(table.Bytes, p + table.Get(UOffsetTFlags, p)) for p in places]


def _union(table: flatbuffers.Table, slot: int) -> flatbuffers.Table:
    at = table.Pos + _offset(table, slot)
    return flatbuffers.Table(table.Bytes, at + table.Get(UOffsetTFlags, at))


def _floats(table: flatbuffers.Table, slot: int) -> list[float]:
    at = _offset(table, slot)
    start, count = table.Vector(at), table.VectorLen(at)
    return [float(table.Get(Float32Flags, start + 4 * i)) for i in range(count)]
