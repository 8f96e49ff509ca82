"""Which operator of a .tflite file each kernel of XNNPACK executes: the delegate tells its kernels, not where from.

Kernels run in the order of the file's operators, but there is no kernel for some operators (a reshape that moves
nothing, a multiplication that became part of a mean of squares), and several for others. So the two lists are aligned,
as in Needleman and Wunsch (1970): each kernel gets an operator, never one before that of the kernel before it, with as
many kernels as possible at an operator that they compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Kernel, as XNNPACK calls it before its types -> operators that it computes.
_COMPUTES = {
    "Convolution": "CONV_2D DEPTHWISE_CONV_2D",
    "Deconvolution": "TRANSPOSE_CONV",
    "Fully Connected": "FULLY_CONNECTED CONV_2D BATCH_MATMUL",
    "Dynamic Fully Connected": "FULLY_CONNECTED BATCH_MATMUL",
    "Batch Matrix Multiply": "BATCH_MATMUL FULLY_CONNECTED",
    "Softmax": "SOFTMAX",
    "Sigmoid": "LOGISTIC",
    "GELU": "GELU",
    "ApproxGELU": "GELU",
    "HardSwish": "HARD_SWISH",
    "Tanh": "TANH",
    "ELU": "ELU",
    "LeakyReLU": "LEAKY_RELU",
    "PReLU": "PRELU",
    "Clamp": "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 MINIMUM MAXIMUM",
    "Exp": "EXP",
    "Log": "LOG",
    "Abs": "ABS",
    "Negate": "NEG",
    "Square": "SQUARE MUL",
    "Square Root": "SQRT",
    "Reciprocal Square Root": "RSQRT",
    "Add": "ADD",
    "Subtract": "SUB",
    "Multiply": "MUL",
    "Divide": "DIV",
    "Maximum": "MAXIMUM",
    "Minimum": "MINIMUM",
    "Power": "POW",
    "Squared Difference": "SQUARED_DIFFERENCE",
    "Mean": "MEAN AVERAGE_POOL_2D",
    "Mean Squared": "MEAN",
    "Sum": "SUM",
    "Sum Squared": "SUM",
    "Reduce Max": "REDUCE_MAX",
    "Reduce Min": "REDUCE_MIN",
    "Average Pooling": "AVERAGE_POOL_2D MEAN",
    "Global Average Pooling": "MEAN AVERAGE_POOL_2D",
    "Max Pooling": "MAX_POOL_2D",
    "Resize Bilinear": "RESIZE_BILINEAR",
    "Depth To Space": "DEPTH_TO_SPACE",
    "Space To Depth": "SPACE_TO_DEPTH",
    "Convert": "QUANTIZE DEQUANTIZE CAST",
    "Transpose": "TRANSPOSE",
    "Static Reshape": "RESHAPE EXPAND_DIMS SQUEEZE",
    "Copy": "CONCATENATION SPLIT SLICE STRIDED_SLICE RESHAPE EXPAND_DIMS PACK",
    "Slice": "SLICE STRIDED_SLICE SPLIT",
    "Constant Pad": "PAD PADV2",
}
# They prepare what another kernel computes, so that any operator may bring some, rather before it than behind.
_HELPERS = ("Convert", "Transpose", "Static Reshape", "Copy", "Slice", "Constant Pad", "Pack LH", "Fuse Dims")
# Never without a kernel.
_ALWAYS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX")
# Of integers these become a table, whose kernel has no name of its own.
_TABLES = ("LOGISTIC", "GELU", "TANH", "HARD_SWISH", "ELU", "EXP", "LOG", "SQRT", "RSQRT", "LEAKY_RELU")
_TABLE_GAIN, _MORE, _UNKNOWN, _AGAIN, _WRONG, _NEVER = 0.5, 0.05, -0.1, -0.5, -1.0, -1e9
_ENTER, _LATE = -0.01, 0.02


class _Step(NamedTuple):
    """How the best ends at each operator came about; see `match`."""

    computed_by: NDArray[np.int64]
    prepared_by: NDArray[np.int64]
    entered_from: NDArray[np.int64]
    left_computed: NDArray[np.bool_]


def match(kernels: Sequence[tuple[str, int]], operators: Sequence[str]) -> list[int]:
    """Index of the operator that each kernel executes.

    Args:
        kernels: tag as the profile has it, for example "Fully Connected (NC, F32) GEMM", and the index of its operator
            where the profile says so, else -1.
        operators: types, for example FULLY_CONNECTED, in execution order.
    """
    import numpy as np

    # The best sum of gains with the last kernel at operator i, which has had the kernel that computes it or not yet.
    count = len(operators)
    if not count:
        return [-1] * len(kernels)
    kinds = np.array(operators)
    due = np.where(np.isin(kinds, _ALWAYS), 1.0, 0.0)
    before = np.concatenate([[0.0], np.cumsum(due)])
    computed = prepared = np.full(count, _NEVER)
    steps: list[_Step] = []
    for number, (tag, node) in enumerate(kernels):
        gain, aside = _gains(tag, node, kinds, np)
        if number == 0:
            enter, source, left_computed = -before[:-1], np.full(count, -1), np.zeros(count, bool)
        else:
            left_computed = computed >= prepared - due
            ends = np.where(left_computed, computed, prepared - due) + before[1:]
            best = np.maximum.accumulate(ends)
            source = np.concatenate([[-1], _last_rise(ends, best, np)[:-1]])
            enter = np.concatenate([[_NEVER], best[:-1]]) - before[:-1]
        enter = enter + _ENTER
        ways = np.stack([enter + gain, prepared + gain, computed + aside - _LATE])
        others = np.stack([enter + aside, prepared + aside])
        steps.append(_Step(ways.argmax(0), others.argmax(0), source, left_computed))
        computed, prepared = ways.max(0), others.max(0)
    rest = before[-1] - before[1:]
    last_computed, last_prepared = computed - rest, prepared - due - rest
    if last_computed.max() >= last_prepared.max():
        return _way_back(steps, int(last_computed.argmax()), True)
    return _way_back(steps, int(last_prepared.argmax()), False)


def _gains(tag: str, node: int, kinds: Any, np: Any) -> tuple[Any, Any]:
    """What is won by taking a kernel for the one that computes each operator, and for one that only prepares it."""
    if node >= 0:
        here = np.arange(len(kinds)) == node
        return np.where(here, 10.0, _NEVER), np.full(len(kinds), _NEVER)
    name = tag.partition(" (")[0]
    if name not in _COMPUTES:
        return np.where(np.isin(kinds, _TABLES), _TABLE_GAIN, _NEVER), np.full(len(kinds), _UNKNOWN)
    fits = np.isin(kinds, _COMPUTES[name].split())
    aside = np.where(fits, _AGAIN, _WRONG)
    if name in _HELPERS:
        aside = np.where(fits, _MORE, 0.0)
    return np.where(fits, 1.0, _NEVER), aside


def _last_rise(values: Any, best: Any, np: Any) -> Any:
    """For each running maximum the index where it was reached."""
    rises = np.concatenate([[True], values[1:] > best[:-1]])
    return np.maximum.accumulate(np.where(rises, np.arange(len(values)), 0))


def _way_back(steps: list[_Step], operator: int, computed: bool) -> list[int]:
    found = []
    for step in reversed(steps):
        found.append(operator)
        way = int((step.computed_by if computed else step.prepared_by)[operator])
        if way == 0:
            operator = int(step.entered_from[operator])
            computed = bool(step.left_computed[operator])
        else:
            computed = way == 2
    return found[::-1]
