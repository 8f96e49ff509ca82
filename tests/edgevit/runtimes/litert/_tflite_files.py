"""Planted .tflite files, built operator by operator with the schema's object API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

QuantParams = tuple[list[float], int]  # scales along axis 0 (or one), zero point


class Builder:
    """Collects tensors and operators of one subgraph."""

    def __init__(self) -> None:
        self.model = tflite.ModelT()
        self.model.version = 3
        self.model.operatorCodes = []
        self.model.buffers = [tflite.BufferT()]
        self.model.metadata = []
        self.part = tflite.SubGraphT()
        self.part.tensors, self.part.operators = [], []

    def tensor(
        self,
        name: str,
        shape: list[int],
        kind: str = "FLOAT32",
        value: Any = None,
        grid: QuantParams | None = None,
    ) -> int:
        made = tflite.TensorT()
        made.name, made.shape, made.type, made.buffer = name, shape, getattr(tflite.TensorType, kind), 0
        if value is not None:
            made.buffer = self._buffer(np.ascontiguousarray(value))
        if grid is not None:
            made.quantization = tflite.QuantizationParametersT()
            made.quantization.scale = np.array(grid[0], np.float32)
            made.quantization.zeroPoint = np.full(len(grid[0]), grid[1], np.int64)
        self.part.tensors.append(made)
        return len(self.part.tensors) - 1

    def add(
        self, kind: str, version: int, inputs: list[int], outputs: list[int], options: Any = None
    ) -> None:
        code = tflite.OperatorCodeT()
        code.builtinCode = getattr(tflite.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        made = tflite.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if options is not None:
            made.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(tflite.BuiltinOptions, name)
        self.part.operators.append(made)

    def custom(self, code: str, inputs: list[int], outputs: list[int]) -> None:
        """An operator that is none of TFLite's own."""
        self.add("CUSTOM", 1, inputs, outputs)
        self.model.operatorCodes[-1].customCode = code.encode()

    def note(self, name: str, data: bytes) -> None:
        made = tflite.MetadataT()
        made.name, made.buffer = name, self._buffer(np.frombuffer(data, np.uint8))
        self.model.metadata.append(made)

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        self.part.inputs, self.part.outputs = inputs, outputs
        self.model.subgraphs = [self.part]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    def _buffer(self, value: NDArray[Any]) -> int:
        made = tflite.BufferT()
        made.data = np.frombuffer(value.tobytes(), np.uint8)
        self.model.buffers.append(made)
        return len(self.model.buffers) - 1


ROWS, IN, OUT = 4, 16, 8
UNIT: QuantParams = ([0.05], 0)
PER_CHANNEL: QuantParams = ([0.01 * (i + 1) for i in range(OUT)], 0)
MACS = ROWS * IN * OUT


def weights() -> NDArray[np.int8]:
    return np.random.default_rng(0).integers(-127, 128, (OUT, IN), dtype=np.int8)


def integer_linear(path: Path) -> Path:
    """QUANTIZE, FULLY_CONNECTED in int8, DEQUANTIZE."""
    b = Builder()
    x, q = b.tensor("x", [ROWS, IN]), b.tensor("x/int8", [ROWS, IN], "INT8", grid=UNIT)
    w = b.tensor("w", [OUT, IN], "INT8", weights(), PER_CHANNEL)
    bias = b.tensor("b", [OUT], "INT32", np.zeros(OUT, np.int32), ([0.05 * s for s in PER_CHANNEL[0]], 0))
    y, out = b.tensor("y/int8", [ROWS, OUT], "INT8", grid=([0.2], 3)), b.tensor("y", [ROWS, OUT])
    b.add("QUANTIZE", 1, [x], [q])
    b.add("FULLY_CONNECTED", 12, [q, w, bias], [y], tflite.FullyConnectedOptionsT())
    b.add("DEQUANTIZE", 2, [y], [out])
    return b.save(path, [x], [out])


def disguised_linear(path: Path) -> Path:
    """What looks quantized and is not: QUANTIZE and DEQUANTIZE around a FULLY_CONNECTED in float."""
    b = Builder()
    x, q = b.tensor("x", [ROWS, IN]), b.tensor("x/int8", [ROWS, IN], "INT8", grid=UNIT)
    back = b.tensor("x/back", [ROWS, IN])
    w = b.tensor("w", [OUT, IN], "INT8", weights(), PER_CHANNEL)
    wide = b.tensor("w/float", [OUT, IN])
    y, out8, out = (
        b.tensor("y", [ROWS, OUT]),
        b.tensor("y8", [ROWS, OUT], "INT8", grid=UNIT),
        b.tensor("z", [ROWS, OUT]),
    )
    b.add("QUANTIZE", 1, [x], [q])
    b.add("DEQUANTIZE", 2, [q], [back])
    b.add("DEQUANTIZE", 5, [w], [wide])
    b.add("FULLY_CONNECTED", 5, [back, wide, -1], [y], tflite.FullyConnectedOptionsT())
    b.add("QUANTIZE", 1, [y], [out8])
    b.add("DEQUANTIZE", 2, [out8], [out])
    return b.save(path, [x], [out])


def dynamic_linear(path: Path) -> Path:
    """FULLY_CONNECTED of a float input with int8 weights: LiteRT quantizes the input at run time."""
    b = Builder()
    x, y = b.tensor("x", [ROWS, IN]), b.tensor("y", [ROWS, OUT])
    w = b.tensor("w", [OUT, IN], "INT8", weights(), PER_CHANNEL)
    b.add("FULLY_CONNECTED", 12, [x, w, -1], [y], tflite.FullyConnectedOptionsT())
    return b.save(path, [x], [y])


def matrix_product(path: Path) -> Path:
    """BATCH_MATMUL in float, (2, 4, 16) times (2, 16, 8)."""
    b = Builder()
    x, y, z = b.tensor("x", [2, 4, 16]), b.tensor("y", [2, 16, 8]), b.tensor("z", [2, 4, 8])
    b.add("BATCH_MATMUL", 1, [x, y], [z], tflite.BatchMatMulOptionsT())
    return b.save(path, [x, y], [z])


def image_model(path: Path, notes: dict[str, bytes]) -> Path:
    """(1, 2, 2, 3) times two, plus one, flattened: `image` -> `scaled` -> `shifted` -> `logits`."""
    b = Builder()
    image, scaled = b.tensor("image", [1, 2, 2, 3]), b.tensor("scaled", [1, 2, 2, 3])
    shifted, logits = b.tensor("shifted", [1, 2, 2, 3]), b.tensor("logits", [1, 12])
    two = b.tensor("two", [1], value=np.array([2], np.float32))
    one = b.tensor("one", [1], value=np.array([1], np.float32))
    shape = b.tensor("shape", [2], "INT32", np.array([1, 12], np.int32))
    b.add("MUL", 1, [image, two], [scaled], tflite.MulOptionsT())
    b.add("ADD", 1, [scaled, one], [shifted], tflite.AddOptionsT())
    b.add("RESHAPE", 1, [shifted, shape], [logits])
    for name, data in notes.items():
        b.note(name, data)
    return b.save(path, [image], [logits])


def swollen(path: Path, mebibytes: int, notes: dict[str, bytes]) -> Path:
    """(1, 2, 2, 3) flattened, and beside it a tensor that is filled and that nobody reads."""
    b = Builder()
    image, logits = b.tensor("image", [1, 2, 2, 3]), b.tensor("logits", [1, 12])
    shape = b.tensor("shape", [2], "INT32", np.array([1, 12], np.int32))
    size = [mebibytes, 512, 512]
    dims, one = (
        b.tensor("dims", [3], "INT32", np.array(size, np.int32)),
        b.tensor("one", [], value=np.float32(1)),
    )
    b.add("FILL", 1, [dims, one], [b.tensor("big", size)])
    b.add("RESHAPE", 1, [image, shape], [logits])
    for name, data in notes.items():
        b.note(name, data)
    return b.save(path, [image], [logits])
