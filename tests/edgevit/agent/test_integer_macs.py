"""What runs in integers, by kernels and shapes: against products that are counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from edgevit.agent import integer_macs


@pytest.mark.parametrize(
    ("kernel", "weights", "output", "macs"),
    [
        ("QLinearConv", (8, 3, 3, 3), (1, 8, 16, 16), 8 * 16 * 16 * 27),
        ("QLinearConv", (32, 1, 3, 3), (1, 16, 16, 32), 32 * 16 * 16 * 9),  # depthwise, channels last
        ("QGemm", (64, 10), (7, 10), 7 * 64 * 10),
        ("QGemm", (10, 64), (7, 10), 7 * 64 * 10),  # transposed
        ("MatMulIntegerToFloat", (64, 192), (1, 50, 192), 50 * 64 * 192),
        ("MatMulInteger", (64,), (1, 50), 50 * 64),
    ],
)
def test_products_of_onnx_runtime(
    kernel: str, weights: tuple[int, ...], output: tuple[int, ...], macs: int
) -> None:
    assert integer_macs.of_onnx(kernel, weights, output) == macs


@pytest.mark.parametrize(
    ("operator", "left", "right", "output", "macs"),
    [
        ("CONV_2D", (1, 16, 16, 3), (8, 3, 3, 3), (1, 16, 16, 8), 16 * 16 * 8 * 27),
        ("DEPTHWISE_CONV_2D", (1, 16, 16, 32), (1, 3, 3, 32), (1, 16, 16, 32), 16 * 16 * 32 * 9),
        ("FULLY_CONNECTED", (1, 50, 64), (192, 64), (1, 50, 192), 50 * 64 * 192),
        ("BATCH_MATMUL", (3, 50, 64), (3, 64, 50), (3, 50, 50), 3 * 50 * 64 * 50),
        ("BATCH_MATMUL", (3, 50, 64), (64, 20), (3, 50, 20), 3 * 50 * 64 * 20),  # one matrix for all three
    ],
)
def test_products_of_tflite(
    operator: str, left: tuple[int, ...], right: tuple[int, ...], output: tuple[int, ...], macs: int
) -> None:
    assert integer_macs.of_tflite(operator, left, right, output) == macs


@pytest.mark.parametrize(
    ("kernel", "ranges"),
    [
        ("Fully Connected (NC, QS8, QC8W) GEMM", "static"),
        ("Fully Connected (NC, PQS8, QC8W) GEMM", "static"),
        ("Convolution (NHWC, QC8) IGEMM", "static"),
        ("Convolution (NHWC, QU8)", "static"),
        ("Batch Matrix Multiply (NC, QS8)", "static"),
        ("Fully Connected (NC, QD8, F32, QC8W) GEMM", "dynamic"),
        ("Fully Connected (NC, QDU8, F32, QC4W) GEMM", "dynamic"),
        ("Batch Matrix Multiply (NC, QP8, F32, QC8W)", "dynamic"),
        ("Fully Connected (NC, F32, QC8W) GEMM", ""),  # integers are stored, floats multiplied
        ("Fully Connected (NC, F32) GEMM", ""),
        ("Convert (NC, F32, QS8)", ""),
        ("Add (ND, QS8)", ""),
        ("CUMSUM", ""),
    ],
)
def test_ranges_of_kernels_of_xnnpack(kernel: str, ranges: str) -> None:
    assert integer_macs.ranges_of_xnnpack(kernel) == ranges


def event(kernel: str, *shapes: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
    told = [{"uint8": list(shape)} for shape in shapes]
    return {"op_name": kernel, "input_type_shape": told, "output_type_shape": [{"uint8": list(output)}]}


def test_events_of_onnx_runtime_for_one_image_of_a_batch() -> None:
    static = event("QGemm", (4, 64), (), (), (64, 10), output=(4, 10))
    either = event("MatMulIntegerToFloat", (4, 64), (64, 10), output=(4, 10))
    rounds = event("DynamicQuantizeLinear", (4, 64), output=(4, 64))
    other = event("Softmax", (4, 10), output=(4, 10))
    fixed = integer_macs.of_events([static, either, other], batch=4)
    assert [(one["static_macs"], one["dynamic_macs"]) for one in fixed] == [(640, 0), (640, 0), (0, 0)]
    rounded = integer_macs.of_events([static, rounds, either], batch=4)
    assert [(one["static_macs"], one["dynamic_macs"]) for one in rounded] == [(640, 0), (0, 0), (0, 640)]
