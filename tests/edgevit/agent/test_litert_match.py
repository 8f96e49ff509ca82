"""Kernels of XNNPACK to operators of the file, as LiteRT 2.3 executes blocks of a transformer."""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.agent.litert_match import match


def aligned(
    kernels: Sequence[str], operators: Sequence[str], nodes: dict[int, int] | None = None
) -> list[int]:
    return match([(tag, (nodes or {}).get(index, -1)) for index, tag in enumerate(kernels)], operators)


def test_each_kernel_in_its_place() -> None:
    kernels = [
        "Convolution (NHWC, F32) IGEMM",
        "Sigmoid (NC)",
        "Multiply (ND)",
        "Fully Connected (NC, F32) GEMM",
    ]
    assert aligned(kernels, ["CONV_2D", "LOGISTIC", "MUL", "CONV_2D"]) == [0, 1, 2, 3]


def test_operators_that_became_part_of_others_get_no_kernel() -> None:
    # x - mean, its square's mean, + epsilon, rsqrt, times: a square and its mean are one kernel, a pad is the
    # convolution's own.
    kernels = [
        "Convolution (NHWC, F32) DWConv",
        "Mean (ND) Reduce2",
        "Subtract (ND)",
        "Mean Squared (ND) Reduce2",
        "Add (ND)",
        "Reciprocal Square Root (NC)",
        "Multiply (ND)",
    ]
    operators = ["PAD", "DEPTHWISE_CONV_2D", "MEAN", "SUB", "MUL", "MEAN", "ADD", "RSQRT", "MUL"]
    assert aligned(kernels, operators) == [1, 2, 3, 5, 6, 7, 8]


def test_the_table_of_an_integer_gelu_has_no_name_and_belongs_to_the_gelu() -> None:
    kernels = [
        "Fully Connected (NC, QS8, QC8W) GEMM",
        "Invalid Unary Op",
        "Fully Connected (NC, QS8, QC8W) GEMM",
        "Convert (NC)",
        "Add (ND)",
    ]
    operators = ["FULLY_CONNECTED", "DEQUANTIZE", "GELU", "QUANTIZE", "FULLY_CONNECTED", "DEQUANTIZE", "ADD"]
    assert aligned(kernels, operators) == [0, 2, 4, 5, 6]


def test_attention_that_copies_its_parts() -> None:
    kernels = [
        "Fully Connected (NC, F32) GEMM",
        "Static Reshape (NC)",
        "Transpose (ND, X32) Transpose",
        "Copy (NC, X32)",
        "Copy (NC, X32)",
        "Copy (NC, X32)",
        "Batch Matrix Multiply (NC, F32) GEMM",
        "Softmax (NC, F32)",
        "Batch Matrix Multiply (NC, F32) GEMM",
        "Transpose (ND, X32) Transpose",
        "Static Reshape (NC)",
        "Fully Connected (NC, F32) GEMM",
    ]
    operators = [
        "FULLY_CONNECTED",
        "RESHAPE",
        "TRANSPOSE",
        "SPLIT",
        "BATCH_MATMUL",
        "SOFTMAX",
        "BATCH_MATMUL",
        "TRANSPOSE",
        "RESHAPE",
        "FULLY_CONNECTED",
    ]
    assert aligned(kernels, operators) == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9]


def test_a_kernel_that_prepares_belongs_to_what_comes_after_it() -> None:
    kernels = [
        "Fully Connected (NC, F32) GEMM",
        "GELU (NC)",
        "Static Reshape (NC)",
        "Fully Connected (NC, F32) GEMM",
    ]
    assert aligned(kernels, ["FULLY_CONNECTED", "GELU", "FULLY_CONNECTED"]) == [0, 1, 2, 2]


def test_where_the_profile_names_the_operator_it_is_believed() -> None:
    kernels = ["Add (ND)", "ADD", "Add (ND)"]
    assert aligned(kernels, ["ADD"] * 6, {1: 4}) in ([0, 4, 5], [1, 4, 5], [2, 4, 5], [3, 4, 5])


def test_a_kernel_that_nobody_knows_stays_beside_its_neighbours() -> None:
    kernels = ["Fully Connected (NC, F32) GEMM", "Quantum Fold (NC)", "Softmax (NC, F32)"]
    found = aligned(kernels, ["FULLY_CONNECTED", "RESHAPE", "SOFTMAX"])
    assert found[0] == 0 and found[2] == 2 and found[1] in (0, 1, 2)


def test_twelve_blocks_do_not_slip_by_one() -> None:
    block = [
        "FULLY_CONNECTED",
        "LOGISTIC",
        "MUL",
        "FULLY_CONNECTED",
        "ADD",
        "MEAN",
        "SUB",
        "MUL",
        "MEAN",
        "ADD",
    ]
    kernels = ["Fully Connected (NC, F32)", "Sigmoid (NC)", "Multiply (ND)", "Fully Connected (NC, F32)"]
    kernels += ["Add (ND)", "Mean (ND)", "Subtract (ND)", "Mean Squared (ND)", "Add (ND)"]
    wanted = [10 * number + index for number in range(12) for index in (0, 1, 2, 3, 4, 5, 6, 8, 9)]
    assert aligned(kernels * 12, block * 12) == wanted


def test_a_file_whose_operators_are_not_known() -> None:
    assert aligned(["Add (ND)"], []) == [-1]
