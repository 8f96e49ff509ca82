"""What TFLite's integer kernels ask of their operands.

From the quantization specification (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec)
and the reference kernels of LiteRT: outputs with a scale that is given, operators that cannot change scales, and which
kernels take int16. int16 has the zero point 0 everywhere, and int8 weights.
"""

from __future__ import annotations

from typing import Final, Literal

from edgevit.core.quant_params import QuantParams

Width = Literal["int8", "int16"]

# Values go through as they are, so that what comes out has the scale and zero point of what went in.
MOVES: Final = frozenset(
    {
        "BROADCAST_TO",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "GATHER_ND",
        "MAX_POOL_2D",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "REDUCE_MAX",
        "RESHAPE",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "UNPACK",
    }
)
# They join tensors, which must all have the scale of the result.
JOINS: Final = frozenset({"CONCATENATION", "PACK"})
LAYERS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})

# First version of each operator that takes int8, and int16; None where the kernel does not take it.
_VERSIONS: Final[dict[str, tuple[int, int | None]]] = {
    "ABS": (2, 3),
    "ADD": (2, 3),
    "AVERAGE_POOL_2D": (2, 3),
    "BATCH_MATMUL": (2, 3),
    "BROADCAST_TO": (2, 3),
    "CONCATENATION": (2, 3),
    "CONV_2D": (3, 4),
    "DEPTHWISE_CONV_2D": (3, 5),
    "DEPTH_TO_SPACE": (1, None),
    "EXPAND_DIMS": (1, 1),
    "EXP": (2, 2),
    "FULLY_CONNECTED": (12, 12),
    "GATHER": (2, 4),
    "GATHER_ND": (1, 3),
    "GELU": (2, None),
    "HARD_SWISH": (1, None),
    "LEAKY_RELU": (2, 2),
    "LOGISTIC": (2, 3),
    "MAXIMUM": (2, 3),
    "MAX_POOL_2D": (2, 3),
    "MEAN": (2, 3),
    "MINIMUM": (2, 3),
    "MIRROR_PAD": (2, 3),
    "MUL": (2, 4),
    "PACK": (2, 3),
    "PAD": (2, 4),
    "REDUCE_MAX": (2, 3),
    "RELU": (2, 3),
    "RELU6": (2, 3),
    "RESHAPE": (1, 1),
    "RESIZE_BILINEAR": (2, 4),
    "RESIZE_NEAREST_NEIGHBOR": (2, 4),
    "REVERSE_V2": (3, 3),
    "RSQRT": (2, 3),
    "SLICE": (2, 4),
    "SOFTMAX": (2, 3),
    "SPACE_TO_DEPTH": (2, None),
    "SPLIT": (2, 4),
    "SPLIT_V": (2, 2),
    "SQUEEZE": (1, 2),
    "STRIDED_SLICE": (2, 4),
    "SUB": (2, 5),
    "SUM": (2, 3),
    "TANH": (2, 3),
    "TILE": (3, 3),
    "TRANSPOSE": (2, 5),
    "TRANSPOSE_CONV": (3, 3),
    "UNPACK": (2, 4),
}
# Results in [0, 1] and [-1, 1] have one scale and zero point for each type.
_UNIT: Final = {
    "int8": QuantParams("int8", (2.0**-8,), (-128,)),
    "int16": QuantParams("int16", (2.0**-15,), (0,)),
}
_SIGNED: Final = {
    "int8": QuantParams("int8", (2.0**-7,), (0,)),
    "int16": QuantParams("int16", (2.0**-15,), (0,)),
}
_GIVEN: Final = {"LOGISTIC": _UNIT, "SOFTMAX": _UNIT, "TANH": _SIGNED}


def version(kind: str, width: Width) -> int | None:
    """The first version of an operator that takes `width`; None where no kernel of it does."""
    int8, int16 = _VERSIONS.get(kind, (None, None))
    return int8 if width == "int8" else int16


def given(kind: str, width: Width) -> QuantParams | None:
    """The scale and zero point that the result of an operator must have; None where it may have any."""
    found = _GIVEN.get(kind)
    return None if found is None else found[width]
