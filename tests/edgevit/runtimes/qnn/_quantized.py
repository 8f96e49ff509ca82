"""Small ONNX files with every tensor quantized by ONNX Runtime's own recipe for QNN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevit.core import metadata_keys
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json

SIZE, PATCH, DIM, TOKENS, CLASSES = 32, 8, 32, 16, 10
PREPROCESS = Preprocess(SIZE, SIZE, (SIZE, SIZE), mean=(0.5,) * 3, std=(0.25,) * 3)


def images(count: int) -> NDArray[np.uint8]:
    """uint8 (count, 32, 32, 3): smooth, so that they differ by more than noise."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (count, 4, 4, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def float_vit(path: Path, extra: str = "") -> None:
    """A transformer of one block with one head; `extra` is an operator behind its pooling."""
    random = np.random.default_rng(3)
    weights: dict[str, NDArray[np.generic]] = {}

    def weight(name: str, *shape: int) -> str:
        scale = 1.0 / np.sqrt(np.prod(shape[1:]) or 1.0)
        weights[name] = (random.standard_normal(shape) * scale).astype(np.float32)
        return name

    def constant(name: str, *values: int) -> str:
        weights[name] = np.array(values, np.int64)
        return name

    nodes = [
        helper.make_node(
            "Conv",
            ["image", weight("pw", DIM, 3, PATCH, PATCH), weight("pb", DIM)],
            ["p"],
            strides=[PATCH] * 2,
        ),
        helper.make_node("Reshape", ["p", constant("s1", 1, DIM, TOKENS)], ["r"]),
        helper.make_node("Transpose", ["r"], ["x"], perm=[0, 2, 1]),
        helper.make_node("LayerNormalization", ["x", weight("g", DIM), weight("gb", DIM)], ["n"], axis=-1),
        *(helper.make_node("MatMul", ["n", weight(f"w{k}", DIM, DIM)], [k]) for k in "qkv"),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["l"]),
        helper.make_node("Softmax", ["l"], ["a"], axis=-1),
        helper.make_node("MatMul", ["a", "v"], ["o"]),
        helper.make_node("Add", ["x", "o"], ["y"]),
        helper.make_node("MatMul", ["y", weight("w1", DIM, DIM)], ["h"]),
        helper.make_node("Gelu", ["h"], ["e"]),
        helper.make_node("ReduceMean", ["e", constant("axes", 1)], ["m"], keepdims=0),
    ]
    if extra:
        nodes.append(helper.make_node(extra, ["m"], ["m2"], name="blocks.0.act/op"))
        scopes = "['', 'blocks.0.act', 'op']"
        nodes[-1].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    head = [nodes[-1].output[0], weight("hw", CLASSES, DIM), weight("hb", CLASSES)]
    nodes.append(helper.make_node("Gemm", head, ["logits"], transB=1))
    graph = helper.make_graph(
        nodes,
        "vit",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)


def quantized(folder: Path, bits: int, extra: str = "") -> Path:
    """The transformer with activations of `bits` bits and weights of 8."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"image": values[None]} for values in feed(images(8))]

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return self.left.pop() if self.left else None

    source, out = folder / f"float{extra}.onnx", folder / f"w8a{bits}{extra}.onnx"
    float_vit(source, extra)
    activations = {8: QuantType.QUInt8, 16: QuantType.QUInt16}[bits]
    settings = get_qnn_qdq_config(source, Reader(), activation_type=activations, weight_type=QuantType.QUInt8)
    quantize(source, out, settings)
    model = onnx.load(out)
    model.metadata_props.add(key=metadata_keys.PREPROCESS, value=preprocess_json.dumps(PREPROCESS, "NCHW"))
    onnx.save(model, out)
    return out


def feed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (N, 3, 32, 32), as `PREPROCESS` says."""
    return ((pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.25)).transpose(0, 3, 1, 2).copy()
