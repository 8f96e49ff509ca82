"""What Qualcomm's HTP makes of single operators between quantized tensors: steps off from ONNX Runtime's CPU kernels.

python -m bench.npu_operators                the table of docs/npu.md: each operator in 8 and in 16 bits
python -m bench.npu_operators --silu         x sigmoid(x) behind a convolution, by the height and width of the map

Each file has one operator, quantized inputs and outputs, and is executed whole by the emulator (v75), with the fallback
to the CPU off. The CPU computes in float between the same integers, so that it is right to half a step.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from edgevit.core.errors import EdgevitError
from edgevit.runtimes._qnn.opened import open_whole

ARCHITECTURE: Final = "v75"
TYPES: Final = {
    "uint8": (np.uint8, TensorProto.UINT8, 0, 255),
    "uint16": (np.uint16, TensorProto.UINT16, 0, 65535),
    "int16": (np.int16, TensorProto.INT16, -32768, 32767),
    "int8": (np.int8, TensorProto.INT8, -127, 127),
    "int32": (np.int32, TensorProto.INT32, -(2**31), 2**31 - 1),
}
HEIGHTS: Final = (4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 20, 24, 28, 32, 48)


@dataclass
class File:
    """A file that is being made: every tensor goes through a grid of its own."""

    act: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    feeds: dict[str, NDArray[Any]] = field(default_factory=dict)
    seed: int = 0

    def _grid(self, name: str, low: float, high: float, dtype: str) -> tuple[float, int]:
        kind, _, first, last = TYPES[dtype]
        if first < 0:
            scale, zero = max(-low, high) / last, 0
        else:
            scale = (high - low) / last
            zero = round(-low / scale)
        self.constants.append(numpy_helper.from_array(np.float32(scale), f"{name}.scale"))
        self.constants.append(numpy_helper.from_array(kind(zero), f"{name}.zero"))
        return scale, zero

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        out = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def read(
        self, shape: Sequence[int], reach: float = 4.0, dtype: str = "", low: float | None = None
    ) -> str:
        """An activation that comes in as integers; its real values behind DequantizeLinear."""
        dtype, name = dtype or self.act, f"in{len(self.inputs)}"
        kind, onnx_type, first, last = TYPES[dtype]
        scale, zero = self._grid(name, -reach if low is None else low, reach, dtype)
        rng = np.random.default_rng(self.seed + len(self.inputs))
        real = rng.normal(0, reach / 4, shape)
        self.feeds[name] = np.clip(np.round(real / scale) + zero, first, last).astype(kind)
        self.inputs.append(helper.make_tensor_value_info(name, onnx_type, shape))
        return self.add("DequantizeLinear", [name, f"{name}.scale", f"{name}.zero"])

    def constant(self, real: NDArray[Any], dtype: str, axis: int | None = None) -> str:
        """A constant behind DequantizeLinear; with `axis` a scale for each of its indices."""
        kind, _, first, last = TYPES[dtype]
        name = f"c{len(self.constants)}"
        if axis is not None:
            others = tuple(i for i in range(real.ndim) if i != axis)
            scale = np.abs(real).max(others) / last
            shape = [-1 if i == axis else 1 for i in range(real.ndim)]
            steps = np.round(real / np.reshape(scale, shape))
            self.constants.append(numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}.scale"))
            self.constants.append(numpy_helper.from_array(np.zeros(len(scale), kind), f"{name}.zero"))
        else:
            one, zero = self._grid(name, min(float(real.min()), 0), max(float(real.max()), 0), dtype)
            steps = np.round(real / one) + zero
        self.constants.append(numpy_helper.from_array(np.clip(steps, first, last).astype(kind), name))
        given = {} if axis is None else {"axis": axis}
        return self.add("DequantizeLinear", [name, f"{name}.scale", f"{name}.zero"], **given)

    def plain(self, array: NDArray[Any]) -> str:
        name = f"p{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def back(self, real: str, low: float, high: float, dtype: str = "") -> str:
        """QuantizeLinear of a result."""
        dtype = dtype or self.act
        self._grid(real, low, high, dtype)
        return self.add("QuantizeLinear", [real, f"{real}.scale", f"{real}.zero"])

    def again(self, integers: str) -> str:
        """DequantizeLinear of what `back` gave."""
        of = next(node for node in self.nodes if node.output[0] == integers)
        return self.add("DequantizeLinear", [integers, *of.input[1:]])

    def model(self, output: str) -> onnx.ModelProto:
        value = helper.make_tensor_value_info(output, TYPES[self.act][1], None)
        graph = helper.make_graph(self.nodes, "one", self.inputs, [value], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def steps_off(
    model: onnx.ModelProto, feeds: dict[str, NDArray[Any]], architecture: str = ARCHITECTURE
) -> int:
    """The largest difference between HTP and the CPU, in steps of the output.

    Raises:
        EdgevitError: HTP refuses the file.
    """
    cpu = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.onnx"
        onnx.save(model, path)
        htp = open_whole(path, path, architecture).run(None, feeds)[0]
    return int(np.abs(cpu.astype(np.int64) - htp.astype(np.int64)).max())


def _conv(file: File) -> str:
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 0.1, (32, 32, 3, 3))
    return file.back(
        file.add("Conv", [file.read((1, 32, 16, 16)), file.constant(weight, "int8", 0)], pads=[1] * 4), -8, 8
    )


def _linear(form: str) -> Callable[[File], str]:
    def make(file: File) -> str:
        weight = np.random.default_rng(1).normal(0, 0.1, (64, 64))
        value = file.read((17, 64))
        if form == "Gemm":
            out = file.add("Gemm", [value, file.constant(weight, "int8", 0)], transB=1)
        else:
            out = file.add("MatMul", [value, file.constant(weight, "int8", 1)])
        return file.back(out, -4, 4)

    return make


def _product(rhs: str) -> Callable[[File], str]:
    def make(file: File) -> str:
        left, right = file.read((1, 4, 17, 16)), file.read((1, 4, 16, 17))
        if rhs != "same":
            right = file.again(file.back(right, -4, 4, rhs if file.act == "uint16" else "int8"))
        return file.back(file.add("MatMul", [left, right]), -24, 24)

    return make


def _norm(file: File) -> str:
    rng = np.random.default_rng(1)
    gain = file.constant(1 + 0.1 * rng.normal(size=64), "int16" if file.act == "uint16" else "uint8")
    value = file.read((1, 17, 64))
    shift = file.constant(0.1 * rng.normal(size=64), "int32")
    return file.back(file.add("LayerNormalization", [value, gain, shift], axis=-1), -5, 5)


def _one(kind: str, low: float, high: float, **attributes: Any) -> Callable[[File], str]:
    return lambda file: file.back(file.add(kind, [file.read((1, 4, 16, 17))], **attributes), low, high)


def _softmax(tokens: int) -> Callable[[File], str]:
    return lambda file: file.back(
        file.add("Softmax", [file.read((1, 4, 17, tokens), 0.8)], axis=-1), 0, 1.8 / tokens
    )


def _two(kind: str, low: float, high: float) -> Callable[[File], str]:
    return lambda file: file.back(file.add(kind, [file.read((1, 17, 64)), file.read((1, 17, 64))]), low, high)


def _unit_length(form: str) -> Callable[[File], str]:
    """x / |x|, in two operators or in one."""

    def make(file: File) -> str:
        value = file.read((1, 4, 16, 17))
        if form == "LpNormalization":
            return file.back(file.add(form, [value], axis=-1, p=2), -1, 1)
        norm = file.add("ReduceL2", [value, file.plain(np.array([-1]))], keepdims=1)
        return file.back(file.add("Div", [value, file.again(file.back(norm, 0, 24))]), -1, 1)

    return make


def _gather(axis: int) -> Callable[[File], str]:
    """256 rows of 16 channels in the order of windows; as columns where `axis` is 1."""

    def make(file: File) -> str:
        order = np.arange(256).reshape(4, 4, 4, 4).transpose(0, 2, 1, 3).ravel()
        value = file.read((256, 16) if axis == 0 else (16, 256))
        return file.back(file.add("Gather", [value, file.plain(order)], axis=axis), -4, 4)

    return make


def _padded(between: bool) -> Callable[[File], str]:
    """A product whose right side has a column of ones, converted; a product with 1 in front of that if `between`."""

    def make(file: File) -> str:
        pads = np.array([0, 0, 0, 0, 0, 0, 0, 1])
        given = [file.read((1, 8, 16, 16)), file.plain(pads), file.plain(np.array(1, np.float32))]
        right = file.again(file.back(file.add("Pad", given), -4, 4))
        if between:
            one = file.constant(np.ones(1, np.float32), file.act)
            right = file.again(file.back(file.add("Mul", [right, one]), -4, 4))
        right = file.again(file.back(right, -4, 4, "int16" if file.act == "uint16" else "int8"))
        return file.back(file.add("MatMul", [file.read((1, 8, 17, 16)), right]), -30, 30)

    return make


OPERATORS: Final[dict[str, Callable[[File], str]]] = {
    "Conv, int8 weights per channel": _conv,
    "Gemm, weights (out, in)": _linear("Gemm"),
    "MatMul with a constant": _linear("MatMul"),
    "MatMul of two activations": _product("same"),
    "the same, right side symmetric (int8, int16)": _product("int16"),
    "LayerNormalization": _norm,
    "Softmax over 17": _softmax(17),
    "Softmax over 197, flat": _softmax(197),
    "Gelu": _one("Gelu", -0.2, 4),
    "Sigmoid": _one("Sigmoid", 0, 1),
    "HardSwish": _one("HardSwish", -0.4, 4),
    "Div": _two("Div", -8, 8),
    "x / |x| as ReduceL2 and Div": _unit_length("Div"),
    "x / |x| as LpNormalization": _unit_length("LpNormalization"),
    "Tanh": _one("Tanh", -1, 1),
    "Tanh on the grid of [-1.5, 1.5]": _one("Tanh", -1.5, 1.5),
    "Gather of rows of 16 channels": _gather(0),
    "Gather of columns": _gather(1),
    "MatMul, right side behind a Pad": _padded(False),
    "the same, times 1 behind the Pad": _padded(True),
    "Erf": _one("Erf", -1, 1),
    "Add": _two("Add", -8, 8),
    "Mul": _two("Mul", -12, 12),
}


def silu(height: int, width: int) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """x sigmoid(x) behind a 1x1 convolution, in 16 bits."""
    file = File("uint16")
    weight = np.random.default_rng(1).normal(0, 0.2, (64, 32, 1, 1))
    out = file.add("Conv", [file.read((1, 32, height, width)), file.constant(weight, "int8", 0)])
    integers = file.back(out, -8, 8)
    gate = file.back(file.add("Sigmoid", [file.again(integers)]), 0, 1)
    end = file.back(file.add("Mul", [file.again(integers), file.again(gate)]), -0.3, 8)
    return file.model(end), file.feeds


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--silu", action="store_true")
    cli.add_argument("--architecture", default=ARCHITECTURE)
    asked = cli.parse_args()
    if asked.silu:
        print("| height | steps off, width the same | width 16 |\n| --- | --- | --- |")
        for height in HEIGHTS:
            print(
                f"| {height} | {steps_off(*silu(height, height))} | {steps_off(*silu(height, 16))} |",
                flush=True,
            )
        return
    print("| operator | 8 bits | 16 bits |\n| --- | --- | --- |")
    for name, make in OPERATORS.items():
        cells = []
        for act in ("uint8", "uint16"):
            file = File(act)
            output = make(file)
            try:
                cells.append(str(steps_off(file.model(output), file.feeds, asked.architecture)))
            except EdgevitError:
                cells.append("refused")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
