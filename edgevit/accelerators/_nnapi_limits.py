"""What Android's Neural Networks API takes of a .tflite file's operators, at its newest feature levels.

Ranks are those of the API (NeuralNetworksTypes.h, "Supported tensor rank"); versions, element types and constants
those that LiteRT's delegate asks for before it hands an operator over (`NNAPIDelegateKernel::Validate`). Both as of
Android 11 (feature level 4) and newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edgevit.accelerators._operators import Operator, shape_text

API: Final = "https://developer.android.com/ndk/reference/group/neural-networks"
DELEGATE: Final = (
    "https://github.com/google-ai-edge/LiteRT/blob/main/tflite/delegates/nnapi/nnapi_delegate.cc"
)

_FLOAT: Final = frozenset({"float32"})
_8BIT: Final = frozenset({"int8", "uint8"})
_FLOAT_8BIT: Final = _FLOAT | _8BIT
_FLOAT_8BIT_INT32: Final = _FLOAT_8BIT | {"int32"}
_HALF_TOO: Final = _FLOAT_8BIT | {"float16"}
_ALL: Final = _FLOAT_8BIT_INT32 | {"float16"}
# The delegate translates these too, on conditions that are not among the rules below.
UNJUDGED: Final = frozenset(
    [
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "DENSIFY",
        "HASHTABLE_LOOKUP",
        "LSH_PROJECTION",
        "LSTM",
        "RNN",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    ]
)


@dataclass(frozen=True, slots=True)
class Takes:
    """Of one kind of operator.

    Attributes:
        version: the highest.
        types: element types of the input `typed`; None where it is not asked.
        rank: the highest of what it reads and computes; None for any.
        constants: inputs, by number, that have to be constants.
    """

    version: int | None = 1
    types: frozenset[str] | None = None
    rank: int | None = None
    typed: int = 0
    constants: tuple[int, ...] = ()


TAKES: Final[Mapping[str, Takes]] = {
    "ADD": Takes(2, _FLOAT_8BIT_INT32, 4),
    "MUL": Takes(3, _FLOAT_8BIT_INT32, 4),
    "SUB": Takes(3, _FLOAT_8BIT_INT32, 4),
    "DIV": Takes(1, _FLOAT, 4),
    "SQUARED_DIFFERENCE": Takes(2, _FLOAT_8BIT_INT32, 4),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), Takes(3, _FLOAT_8BIT_INT32)),
    **dict.fromkeys(("ABS", "EXP", "LOG", "RSQRT", "POW", "SIN", "SQRT"), Takes(1, _FLOAT)),
    "NEG": Takes(2, _FLOAT | {"int32"}),
    "FLOOR": Takes(1, None, 4),
    **dict.fromkeys(("RELU", "RELU_N1_TO_1", "RELU6", "LOGISTIC"), Takes(2, _FLOAT_8BIT, 4)),
    "TANH": Takes(2, _FLOAT_8BIT, 4),
    "HARD_SWISH": Takes(None, _FLOAT_8BIT),
    "ELU": Takes(1, _FLOAT),
    **dict.fromkeys(("LEAKY_RELU", "PRELU"), Takes(1, _FLOAT_8BIT)),
    "SOFTMAX": Takes(2, _FLOAT_8BIT, 4),
    "LOG_SOFTMAX": Takes(1, _FLOAT),
    "CONV_2D": Takes(5, None, 4),
    "DEPTHWISE_CONV_2D": Takes(3, None, 4),
    "TRANSPOSE_CONV": Takes(3, None, 4, constants=(0, 1)),
    "FULLY_CONNECTED": Takes(5, None, 4),
    "AVERAGE_POOL_2D": Takes(2, _FLOAT_8BIT, 4),
    "MAX_POOL_2D": Takes(2, _FLOAT_8BIT, 4),
    "L2_POOL_2D": Takes(1, _FLOAT, 4),
    "L2_NORMALIZATION": Takes(2, None, 4),
    "LOCAL_RESPONSE_NORMALIZATION": Takes(1, None, 4),
    "RESHAPE": Takes(1, _FLOAT_8BIT, 4, constants=(1,)),
    "SQUEEZE": Takes(1, None, 4),
    "EXPAND_DIMS": Takes(1, _ALL, constants=(1,)),
    "TRANSPOSE": Takes(2, None, 4, constants=(1,)),
    "CONCATENATION": Takes(2, _HALF_TOO, 4),
    "SPLIT": Takes(3, _FLOAT_8BIT_INT32, None, typed=1, constants=(0,)),
    "SPLIT_V": Takes(2, _FLOAT_8BIT_INT32, None, constants=(1, 2)),
    "PACK": Takes(2, _FLOAT | {"int8", "int32"}),
    "SLICE": Takes(2, _FLOAT_8BIT_INT32),
    "STRIDED_SLICE": Takes(2, None, 4),
    "GATHER": Takes(2, _ALL),
    "TILE": Takes(1, _FLOAT_8BIT_INT32),
    **dict.fromkeys(("PAD", "PADV2"), Takes(2, _FLOAT_8BIT, 4)),
    "SPACE_TO_BATCH_ND": Takes(2, None, 4),
    "BATCH_TO_SPACE_ND": Takes(2, None, 4),
    "SPACE_TO_DEPTH": Takes(2, _FLOAT_8BIT, 4),
    "DEPTH_TO_SPACE": Takes(None, _FLOAT_8BIT, 4),
    "RESIZE_BILINEAR": Takes(3, _FLOAT_8BIT, 4, constants=(1,)),
    "RESIZE_NEAREST_NEIGHBOR": Takes(3, _FLOAT_8BIT, 4, constants=(1,)),
    "MEAN": Takes(2, _FLOAT_8BIT, 4),
    **dict.fromkeys(("REDUCE_MIN", "REDUCE_MAX"), Takes(2, _FLOAT_8BIT)),
    **dict.fromkeys(("REDUCE_PROD", "SUM"), Takes(1, _FLOAT)),
    "REDUCE_ANY": Takes(2),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), Takes(2, _ALL)),
    "TOPK_V2": Takes(2, _FLOAT_8BIT_INT32, constants=(1,)),
    "SELECT": Takes(2, _FLOAT_8BIT_INT32, typed=1),
    "CAST": Takes(1, _FLOAT_8BIT_INT32),
    "QUANTIZE": Takes(2, _FLOAT_8BIT),
    "DEQUANTIZE": Takes(2, _8BIT | {"float16"}, 4),
    **dict.fromkeys(
        ["LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"],
        Takes(2, _FLOAT_8BIT_INT32 | {"bool"}),
    ),
    **dict.fromkeys(("LOGICAL_OR", "LOGICAL_AND", "LOGICAL_NOT"), Takes(1, frozenset({"bool"}))),
    "EMBEDDING_LOOKUP": Takes(1, _FLOAT, typed=1),
    "FILL": Takes(1, _FLOAT | {"int32", "int64"}, typed=1, constants=(0,)),
    **dict.fromkeys(UNJUDGED, Takes(None)),
}


def is_unknown(operator: Operator) -> str:
    """An operator that the delegate does not translate."""
    return "" if operator.kind in TAKES else "NNAPI has no operation for it that LiteRT's delegate knows"


def is_too_new(operator: Operator) -> str:
    """A version that stands for a type or a shape that came later."""
    takes = TAKES.get(operator.kind)
    if takes is None or takes.version is None or operator.version <= takes.version:
        return ""
    most = takes.version
    return (
        f"it is version {operator.version} of the operator, LiteRT's NNAPI delegate takes those up to {most}"
    )


def has_no_rank(operator: Operator) -> str:
    """More dimensions than the API foresees for this operation."""
    takes = TAKES.get(operator.kind)
    if takes is None or takes.rank is None:
        return ""
    most = takes.rank
    wide = next((operand for operand in operator.operands if operand.rank > most), None)
    return (
        ""
        if wide is None
        else f"its tensor {shape_text(wide)} has rank {wide.rank}, NNAPI takes up to {most}"
    )


def has_no_type(operator: Operator) -> str:
    """Element types that the operation is not defined for."""
    takes = TAKES.get(operator.kind)
    if takes is None or takes.types is None or takes.typed >= len(operator.inputs):
        return ""
    operand = operator.inputs[takes.typed]
    if operand is None or operand.dtype in takes.types:
        return ""
    return f"it reads {operand.dtype}, NNAPI takes {', '.join(sorted(takes.types))} there"


def is_no_constant(operator: Operator) -> str:
    """A setting that is computed."""
    takes = TAKES.get(operator.kind)
    for at in () if takes is None else takes.constants:
        operand = operator.inputs[at] if at < len(operator.inputs) else None
        if operand is not None and not operand.constant:
            return f"its input {operand.name} is computed, NNAPI takes a constant there"
    return ""


def is_flexible(operator: Operator) -> str:
    """A shape that is known at run time alone; the delegate's `allow_dynamic_dimensions` is off by default."""
    loose = next((operand for operand in operator.operands if operand.shape and None in operand.shape), None)
    return "" if loose is None else f"the shape {shape_text(loose)} of its tensor {loose.name} is not fixed"


def condition(operator: Operator) -> str:
    """What else is asked of an operator of this kind."""
    asked = _CONDITIONS.get(operator.kind)
    return "" if asked is None else asked(operator)


def _no_activation(operator: Operator) -> str:
    return "an activation is fused into it" if operator.flag("fusedActivationFunction") else ""


def _no_activation_of_integers(operator: Operator) -> str:
    return _no_activation(operator) if operator.given[0].dtype == "int32" else ""


def _bias(operator: Operator) -> str:
    return "" if len(operator.inputs) == 3 else "it has no bias"


def _output_16(operator: Operator) -> str:
    return "it computes int16" if operator.outputs[0].dtype == "int16" else ""


def _8bit_output(operator: Operator) -> str:
    output = operator.outputs[0].dtype
    return "" if output in _8BIT else f"it quantizes to {output}, NNAPI takes int8 and uint8"


def _some_dimension(operator: Operator) -> str:
    return "" if operator.outputs[0].shape != () else "it computes a single number without a dimension"


def _rank_4(operator: Operator) -> str:
    image = operator.given[0]
    return "" if image.rank == 4 else f"it resizes {shape_text(image)}, NNAPI takes rank 4"


def _indices(operator: Operator) -> str:
    indices = operator.given[1]
    return (
        ""
        if indices.dtype == "int32" and indices.rank
        else f"its indices are {indices.dtype}, not int32 of rank 1"
    )


def _not_last(operator: Operator) -> str:
    axis = operator.options.get("axis")
    return "it stacks along the last dimension" if axis in (-1, operator.given[0].rank) else ""


def _same_shape(operator: Operator) -> str:
    chosen, values = operator.given[:2]
    if chosen.shape == values.shape:
        return ""
    return f"its condition {shape_text(chosen)} is spread over {shape_text(values)}"


def _cast(operator: Operator) -> str:
    output = operator.outputs[0].dtype
    return "" if output in _FLOAT_8BIT_INT32 else f"it casts to {output}"


def _whole_index(operator: Operator) -> str:
    output = operator.outputs[0].dtype
    return "" if output == "int32" else f"it computes {output}, NNAPI gives int32"


_CONDITIONS: Final[Mapping[str, Callable[[Operator], str]]] = {
    **dict.fromkeys(("ADD", "MUL", "SUB"), _no_activation_of_integers),
    **dict.fromkeys(("CONCATENATION", "L2_NORMALIZATION"), _no_activation),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_PROD", "REDUCE_ANY"), _some_dimension),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _whole_index),
    "CONV_2D": _bias,
    "FULLY_CONNECTED": _output_16,
    "QUANTIZE": _8bit_output,
    "RESIZE_BILINEAR": _rank_4,
    "GATHER": _indices,
    "PACK": _not_last,
    "SELECT": _same_shape,
    "CAST": _cast,
}
