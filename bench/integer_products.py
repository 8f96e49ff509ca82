"""One linear layer in the forms that a runtime offers for run-time grids and 4 bits: error and CPU time.

python -m bench.integer_products [--tokens 257] [--inputs 384] [--outputs 1536] [--rounds 40]

Seeded activations with uneven channels and tokens, one thread, all forms in turn. The error is that of the
product against the float64 product with the same rounded weights; time is CPU time, which other work on the
machine disturbs least, and its ratio to the float product of the same runtime.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters.tflite import flatbuffer as tfl

BLOCK = 32
Run = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Layer:
    """x (1, tokens, inputs) times weights (inputs, outputs) rounded to 8 bits, and to 4 in blocks."""

    x: NDArray[np.float32]
    eight: NDArray[np.int8]
    scale: NDArray[np.float32]
    four: NDArray[np.int8]
    blocks: NDArray[np.float32]

    @property
    def wide(self) -> NDArray[np.float32]:
        """The 8-bit weights as real numbers."""
        return self.eight * self.scale

    @property
    def narrow(self) -> NDArray[np.float32]:
        """The 4-bit weights as real numbers."""
        return self.four * np.repeat(self.blocks, BLOCK, axis=0)


def main() -> None:
    """Measure and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("tokens", 257), ("inputs", 384), ("outputs", 1536), ("rounds", 40)):
        cli.add_argument(f"--{name}", type=int, default=usual)
    given = cli.parse_args()
    layer = _layer(given.tokens, given.inputs, given.outputs)
    forms = {f"ONNX {k}": v for k, v in _onnx_forms(layer).items()}
    forms |= {f"TFLite {k}": v for k, v in _tflite_forms(layer).items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(given.rounds):
        for name, (run, _) in forms.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    print("| form | error dB | ms | against float |\n| --- | --- | --- | --- |")
    for name, (run, weight) in forms.items():
        exact = layer.x.astype(np.float64) @ weight.astype(np.float64)
        error = 10 * np.log10(np.square(exact).sum() / np.square(exact - run().reshape(exact.shape)).sum())
        own, base = np.median(times[name]), np.median(times[f"{name.split()[0]} float"])
        print(f"| {name} | {error:.1f} | {1e3 * own:.2f} | {own / base:.2f} |")


def _layer(tokens: int, inputs: int, outputs: int) -> Layer:
    random = np.random.default_rng(0)
    uneven = np.exp(random.standard_normal(inputs) * 0.7) * np.exp(random.standard_normal((tokens, 1)) * 0.3)
    x = (random.standard_normal((1, tokens, inputs)) * uneven).astype(np.float32)
    weight = (random.standard_normal((inputs, outputs)) * 0.05).astype(np.float32)
    scale = np.abs(weight).max(0) / 127
    parts = weight.reshape(-1, BLOCK, outputs)
    fraction, exponent = np.frexp(np.abs(parts).max(1) / 7)
    blocks = np.ldexp(np.ceil(fraction * 256), exponent - 8).astype(np.float32)  # exact in bfloat16
    four = np.rint(parts / blocks[:, None]).astype(np.int8).reshape(weight.shape)
    return Layer(x, np.rint(weight / scale).astype(np.int8), scale.astype(np.float32), four, blocks)


def _onnx_forms(layer: Layer) -> dict[str, tuple[Run, NDArray[np.float32]]]:
    node = helper.make_node
    inputs, outputs = layer.eight.shape
    eight = {"w": layer.eight, "s": layer.scale}
    multiply = [
        node("MatMulInteger", ["q", "w", "zero"], ["i"]),
        node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        node("Mul", ["at", "s"], ["both"]),
    ]
    token = [
        node("Abs", ["x"], ["size"]),
        node("ReduceMax", ["size", "axis"], ["peak"]),
        node("Div", ["x", "peak"], ["even"]),
        node("DynamicQuantizeLinear", ["even"], ["q", "at", "zero"]),
        *multiply,
        node("Mul", ["f", "both"], ["scaled"]),
        node("Mul", ["scaled", "peak"], ["y"]),
    ]
    tensor = [
        node("DynamicQuantizeLinear", ["x"], ["q", "at", "zero"]),
        *multiply,
        node("Mul", ["f", "both"], ["y"]),
    ]
    product = node("MatMul", ["x", "real"], ["y"])
    found = {
        "float": _session(layer, [product], {"real": layer.wide}),
        "uint8, one scale": _session(layer, tensor, eight),
        "uint8, one scale for normalized tokens": _session(layer, token, {**eight, "axis": np.array([-1])}),
    }
    for block in (32, 128):
        if inputs % block == 0:
            unpack = node("DequantizeLinear", ["w", "s"], ["real"], axis=0, block_size=block)
            tiled = {"w": layer.eight, "s": np.tile(layer.scale, (inputs // block, 1))}
            found[f"MatMulNBits 8 bits, int8 in blocks of {block}"] = _session(
                layer, [unpack, product], tiled
            )
    runs: dict[str, tuple[Run, NDArray[np.float32]]] = {k: (run, layer.wide) for k, run in found.items()}
    unpack = node("DequantizeLinear", ["w", "s"], ["real"], axis=0, block_size=BLOCK)
    folded = [
        node("Cast", ["w"], ["steps"], to=TensorProto.FLOAT),
        node("Mul", ["steps", "s"], ["parts"]),
        node("Reshape", ["parts", "shape"], ["real"]),
        product,
    ]
    parts = {"w": layer.four.reshape(-1, BLOCK, outputs), "s": layer.blocks[:, None]}
    shape = {"shape": np.array([inputs, outputs])}
    plain = {"w": layer.four, "s": layer.blocks}
    runs["int4 behind Cast and Mul"] = _session(layer, folded, {**parts, **shape}), layer.narrow
    runs["int4 behind DequantizeLinear"] = _session(layer, [unpack, product], plain), layer.narrow
    level = [_n_bits(inputs, outputs)]
    packed = {"w": _nibbles(layer.four.T + 8).reshape(outputs, -1, BLOCK // 2), "s": layer.blocks.T.ravel()}
    runs["MatMulNBits 4 bits, float"] = _session(layer, level, packed), layer.narrow
    return runs


def _n_bits(inputs: int, outputs: int) -> object:
    sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": 1}
    return helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **sizes)


def _session(layer: Layer, nodes: list[object], constants: dict[str, NDArray[np.generic]]) -> Run:
    stored = []
    for name, value in constants.items():
        if value is not None and value.dtype == np.int8 and np.abs(value).max() <= 7:
            raw = _nibbles(value).tobytes()
            stored.append(helper.make_tensor(name, TensorProto.INT4, value.shape, raw, raw=True))
        else:
            stored.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [*layer.x.shape[:2], size])
        for name, size in (("x", layer.eight.shape[0]), ("y", layer.eight.shape[1]))
    ]
    sets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "layer", ends[:1], ends[1:], stored), opset_imports=sets, ir_version=10
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return lambda: session.run(None, {"x": layer.x})[0]


def _tflite_forms(layer: Layer) -> dict[str, tuple[Run, NDArray[np.float32]]]:
    return {
        "float": (_interpreter(layer, "FLOAT32", layer.wide.T), layer.wide),
        "int8, a grid for each token": (_interpreter(layer, "INT8", layer.eight.T), layer.wide),
        "int4 in blocks, a grid for each token": (_interpreter(layer, "INT4", layer.four.T), layer.narrow),
    }


def _interpreter(layer: Layer, kind: str, weight: NDArray[np.generic]) -> Run:
    model = schema.ModelT()
    model.version, model.operatorCodes, model.buffers, model.metadata = 3, [], [schema.BufferT()], []
    part = schema.SubGraphT()
    part.tensors, part.operators, model.subgraphs = [], [], [part]
    tokens, (inputs, outputs) = layer.x.shape[1], layer.eight.shape
    x = tfl.add_tensor(model, "x", [1, tokens, inputs], "FLOAT32")
    y = tfl.add_tensor(model, "y", [1, tokens, outputs], "FLOAT32")
    w = tfl.add_tensor(model, "w", [outputs, inputs], kind, weight)
    if kind == "INT8":
        tfl.set_quantization(part.tensors[w], layer.scale.tolist(), [0] * outputs)
    if kind == "INT4":
        scales = tfl.add_tensor(model, "s", [outputs, inputs // BLOCK], "FLOAT16", layer.blocks.T)
        tfl.set_blocks(part.tensors[w], scales, BLOCK)
    operator = tfl.new_operator(model, "FULLY_CONNECTED", 13, [x, w, -1], [y])
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    operator.builtinOptions.keepNumDims = True
    operator.builtinOptions.asymmetricQuantizeInputs = True
    part.operators, part.inputs, part.outputs = [operator], np.array([x], np.int32), np.array([y], np.int32)
    interpreter = Interpreter(model_content=bytes(tfl.pack(model)), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], layer.x)
    result = interpreter.get_output_details()[0]["index"]

    def run() -> NDArray[np.float32]:
        interpreter.invoke()
        found: NDArray[np.float32] = interpreter.get_tensor(result)
        return found

    return run


def _nibbles(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    flat = np.ascontiguousarray(values).astype(np.uint8).ravel() & 15
    packed: NDArray[np.uint8] = flat[0::2] | (flat[1::2] << 4)
    return packed


if __name__ == "__main__":
    main()
