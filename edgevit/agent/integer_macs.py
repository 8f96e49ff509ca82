"""Multiply-accumulates that a runtime executes in integers, for one image: from its kernels and their shapes.

One arithmetic for both sides: this computer counts in the graph that its runtime made of a file, a device in the
profile of what it executed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# Integer kernel of ONNX Runtime -> position of the weights among its inputs.
ONNX_WEIGHTS = {
    "QLinearConv": 3,
    "ConvInteger": 1,
    "QLinearMatMul": 3,
    "QGemm": 3,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
}
TFLITE_PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL")
# What a TFLite file of edgevit calls the normalisation of the image, which is no part of the model.
OF_THE_IMAGE = "image/"
# XNNPACK's kernels that multiply, and the types of their activations: fixed ranges, and ranges of each execution.
_MULTIPLYING = ("Convolution", "Fully Connected", "Batch Matrix Multiply")
_STATIC = ("QS8", "QU8", "QC8", "PQS8")
_DYNAMIC = ("QD8", "QDU8", "QP8")
# Kernels that take integers whoever made them, and the operator that makes them while a file is executed.
_EITHER = ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat")
_AT_RUN_TIME = "DynamicQuantizeLinear"


def of_onnx(kernel: str, weights: Sequence[int], output: Sequence[int]) -> int:
    """MACs of a kernel in ONNX_WEIGHTS: elements of its output times the length of the sum behind each.

    Args:
        weights, output: shapes. Of convolutions the weights are (out, in / groups, kernel...), also where activations
            are channels-last.
    """
    outputs = math.prod(output)
    if "Conv" in kernel:
        return outputs * math.prod(weights[1:])
    if kernel == "QGemm":  # transposed or not
        return outputs * math.prod(weights) // output[-1]
    return outputs * (weights[-1] if len(weights) == 1 else weights[-2])


def of_tflite(operator: str, left: Sequence[int], right: Sequence[int], output: Sequence[int]) -> int:
    """MACs of an operator in TFLITE_PRODUCTS.

    Args:
        left, right, output: shapes of its first two inputs, activations and weights, and of its result.
    """
    outputs = math.prod(output)
    if operator == "DEPTHWISE_CONV_2D":
        return outputs * math.prod(right[:3])
    if operator == "CONV_2D":
        return outputs * math.prod(right[1:])
    if operator == "FULLY_CONNECTED":
        return outputs * right[-1]
    # (..., m, k) times (..., k, n), either side transposed or broadcast: the side that is not broadcast
    # has outputs * k / n or outputs * k / m elements.
    rows, columns = output[-2:]
    return max(math.prod(left) * columns, math.prod(right) * rows)


def ranges_of_xnnpack(kernel: str) -> str:
    """Whether a kernel multiplies integers with `static` or `dynamic` ranges of its activations; "" for neither.

    Args:
        kernel: as XNNPACK's profile has it: `Fully Connected (NC, QS8, QC8W) GEMM`.
    """
    name, _, rest = kernel.partition(" (")
    if name not in _MULTIPLYING:
        return ""
    words = [word.strip() for word in rest.partition(")")[0].split(",")]
    types = [word for word in words[1:] if word]  # behind the layout
    if types and types[0] in _STATIC:
        return "static"
    return "dynamic" if types and types[0] in _DYNAMIC else ""


def of_events(events: Sequence[dict[str, Any]], batch: int) -> list[dict[str, int]]:
    """MACs of the kernels of ONNX Runtime's profile, each as `static_macs` and `dynamic_macs`.

    The profile does not say who made the integers that a product takes. Where a file rounds activations while it is
    executed, products that may take those count as dynamic.

    Args:
        events: arguments of one event of each kernel, with the shapes of its inputs and outputs.
        batch: images in one execution.
    """
    at_run_time = any(args["op_name"] == _AT_RUN_TIME for args in events)
    found = []
    for args in events:
        kernel = args["op_name"]
        static = dynamic = 0
        if kernel in ONNX_WEIGHTS:
            weights = _shape(args["input_type_shape"][ONNX_WEIGHTS[kernel]])
            macs = of_onnx(kernel, weights, _shape(args["output_type_shape"][0])) // batch
            if kernel == "DynamicQuantizeMatMul" or (at_run_time and kernel in _EITHER):
                dynamic = macs
            else:
                static = macs
        found.append({"static_macs": static, "dynamic_macs": dynamic})
    return found


def _shape(told: dict[str, list[int]]) -> list[int]:
    """Of `{"uint8": [1, 197, 192]}`."""
    (shape,) = told.values()
    return shape
