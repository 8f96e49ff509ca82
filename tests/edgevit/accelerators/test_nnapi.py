"""NNAPI: one offending operator in each planted file; for .onnx, ONNX Runtime's own checker beside ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.tools.mobile_helpers import usability_checker

from edgevit.accelerators.nnapi import CHECKER
from edgevit.core.results.lint import LintReport
from tests.edgevit.accelerators.test_litert_gpu import ints, newer_version, planted, rank_5, reverse
from tests.edgevit.runtimes.litert._tflite_files import Builder

FLOAT = TensorProto.FLOAT


def lint(path: Path) -> LintReport:
    return CHECKER.check(path, "nnapi")


def gelu(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:gelu;", [1, 4, 8])
    b.add("GELU", 1, [x], [y], tflite.GeluOptionsT())
    return y


def product(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:qk;", [1, 4, 4])
    b.add("BATCH_MATMUL", 1, [x, x], [y], tflite.BatchMatMulOptionsT())
    return y


def int32_mean(b: Builder, x: int) -> int:
    whole, y = (
        b.tensor("blocks.1.attn:cast;", [1, 4, 8], "INT32"),
        b.tensor("blocks.1.attn:mean;", [1, 4], "INT32"),
    )
    b.add("CAST", 1, [x], [whole])
    b.add("MEAN", 1, [whole, ints(b, "axis", 2)], [y], tflite.ReducerOptionsT())
    return y


def computed_shape(b: Builder, x: int) -> int:
    shape, y = b.tensor("blocks.1.attn:shape;", [2], "INT32"), b.tensor("blocks.1.attn:reshape;", [4, 8])
    b.add("SHAPE", 1, [x], [shape])
    b.add("RESHAPE", 1, [x, shape], [y])
    return y


def scalar(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:mean;", [])
    b.add("MEAN", 1, [x, ints(b, "axis", 0, 1, 2)], [y], tflite.ReducerOptionsT())
    return y


PLANTED = [
    (gelu, ("GELU", "no operation for it")),
    (product, ("BATCH_MATMUL", "no operation for it")),
    (reverse, ("REVERSE_V2", "no operation for it")),
    (newer_version, ("FULLY_CONNECTED", "delegate takes those up to 5")),
    (rank_5, ("RESHAPE", "1x4x2x2x2 has rank 5, NNAPI takes up to 4")),
    (int32_mean, ("MEAN", "it reads int32")),
    (computed_shape, ("SHAPE", "no operation for it"), ("RESHAPE", "blocks.1.attn:shape; is computed")),
    (scalar, ("MEAN", "single number")),
]


@pytest.mark.parametrize("case", PLANTED, ids=[case[0].__name__ for case in PLANTED])
def test_an_operator_that_the_delegate_refuses(case: tuple, tmp_path: Path) -> None:
    plant, *expected = case
    report = lint(planted(tmp_path / "m.tflite", plant))
    assert [(found.operator, found.module) for found in report.findings] == [
        (operator, "blocks.1.attn") for operator, _ in expected
    ]
    for found, (_, reason) in zip(report.findings, expected, strict=True):
        assert reason in found.reason and found.source.startswith("https://")
    assert report.operators["cpu"] == len(expected)


def test_a_shape_that_is_not_fixed(tmp_path: Path) -> None:
    b = Builder()
    x, y = b.tensor("image", [1, 8]), b.tensor("act:relu;", [1, 8])
    for index in (x, y):
        b.part.tensors[index].shapeSignature = [-1, 8]
    b.add("RELU", 1, [x], [y])
    report = lint(b.save(tmp_path / "m.tflite", [x], [y]))
    (found,) = report.findings
    assert found.operator == "RELU" and "?x8 of its tensor image is not fixed" in found.reason


def onnx_file(
    path: Path, nodes: list[onnx.NodeProto], shape: list[int | str], *weights: onnx.TensorProto
) -> Path:
    image = helper.make_tensor_value_info("image", FLOAT, shape)
    logits = helper.make_tensor_value_info("logits", FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [logits], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def initializer(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


ONNX: list[
    tuple[str, Callable[[], tuple[list[onnx.NodeProto], list[int | str], list[onnx.TensorProto]]], str, str]
] = [
    (
        "unknown",
        lambda: (
            [helper.make_node("Gelu", ["image"], ["logits"], "/blocks/blocks.1/attn/act/Gelu")],
            [1, 8],
            [],
        ),
        "Gelu",
        "does not know this operator",
    ),
    (
        "flexible",
        lambda: (
            [helper.make_node("Relu", ["image"], ["logits"], "/blocks/blocks.1/attn/act/Relu")],
            ["n", 8],
            [],
        ),
        "Relu",
        "the shape ?x8 of its input image is not fixed",
    ),
    (
        "rank",
        lambda: (
            [
                helper.make_node(
                    "Transpose", ["image"], ["logits"], "/blocks/blocks.1/attn/act/T", perm=[0, 2, 1, 3, 4]
                )
            ],
            [1, 2, 3, 4, 5],
            [],
        ),
        "Transpose",
        "1x2x3x4x5 has rank 5",
    ),
    (
        "one-dimensional convolution",
        lambda: (
            [helper.make_node("Conv", ["image", "w"], ["logits"], "/blocks/blocks.1/attn/act/Conv")],
            [1, 2, 8],
            [initializer("w", np.ones((4, 2, 3), np.float32))],
        ),
        "Conv",
        "1x2x8 is no batch of images",
    ),
    (
        "mode",
        lambda: (
            [
                helper.make_node(
                    "DepthToSpace",
                    ["image"],
                    ["logits"],
                    "/blocks/blocks.1/attn/act/D",
                    blocksize=2,
                    mode="CRD",
                )
            ],
            [1, 8, 2, 2],
            [],
        ),
        "DepthToSpace",
        "its mode is CRD",
    ),
]


@pytest.mark.parametrize(("case", "make", "operator", "reason"), ONNX, ids=[case[0] for case in ONNX])
def test_a_node_that_onnx_runtime_keeps(
    case: str, make: Callable[[], tuple], operator: str, reason: str, tmp_path: Path
) -> None:
    nodes, shape, weights = make()
    report = lint(onnx_file(tmp_path / "m.onnx", nodes, shape, *weights))
    (found,) = report.findings
    assert (found.operator, found.module, found.kind) == (operator, "blocks.1.attn.act", "rule")
    assert reason in found.reason and report.operators == {"nnapi": 0, "cpu": 1}


def test_onnx_runtime_counts_the_same(tmp_path: Path) -> None:
    """Its checker goes by the same list, by code of its own."""
    nodes = [
        helper.make_node("LayerNormalization", ["image", "one"], ["a"], axis=-1),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Gelu", ["b"], ["c"]),
        helper.make_node("Erf", ["c"], ["d"]),
        helper.make_node("Softmax", ["d"], ["e"]),
        helper.make_node("ReduceMean", ["e", "axes"], ["logits"], keepdims=0),
    ]
    weights = [initializer("one", np.ones(8, np.float32)), initializer("w", np.ones((8, 8), np.float32))]
    path = onnx_file(tmp_path / "m.onnx", nodes, [1, 4, 8], *weights, initializer("axes", np.array([1])))
    counted = usability_checker.check_nnapi_partitions(
        onnx.shape_inference.infer_shapes(onnx.load(path)), require_fixed_input_sizes=True
    )
    report = lint(path)
    assert report.operators == {"nnapi": counted.num_supported_nodes, "cpu": 3}
    assert {f"ai.onnx:{found.operator}" for found in report.findings} == counted.unsupported_ops
