"""What LiteRT's GPU delegate says of each operator: in code alone, since its page lists names without conditions.

Read in google-ai-edge/LiteRT in November 2026, as the delegate asks them (`GpuCompatibilityFlags::kStandard`): which
operators have a parser, up to which version, and which element types and ranks they take
(tflite/delegates/gpu/common/model_builder.cc), and the conditions of `CheckGpuDelegateCompatibility`
(tflite/tools/versioning/gpu_compatibility.cc). Sizes that no valid file has are not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edgevit.accelerators._operators import Operator, shape_text

_TREE: Final = "https://github.com/google-ai-edge/LiteRT/blob/main/tflite"
BUILDER: Final = f"{_TREE}/delegates/gpu/common/model_builder.cc"
CONDITIONS: Final = f"{_TREE}/tools/versioning/gpu_compatibility.cc"

_UNARY: Final = "ABS COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH"
_COMPARING: Final = "EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL"
_BINARY: Final = (
    f"DIV FLOOR_DIV FLOOR_MOD LOGICAL_AND MAXIMUM MINIMUM POW SQUARED_DIFFERENCE SUB {_COMPARING}"
)
_REDUCING: Final = "REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM"
_POOLING: Final = "AVERAGE_POOL_2D MAX_POOL_2D"
_PADDING: Final = "PAD PADV2 MIRROR_PAD"
_RECTIFYING: Final = "RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 LEAKY_RELU"

# Operator -> highest version that its parser takes; None where it does not ask.
VERSIONS: Final[Mapping[str, int | None]] = {
    **dict.fromkeys(f"{_UNARY} {_BINARY} ADD ADD_N {_POOLING} {_PADDING} {_RECTIFYING}".split(), 2),
    **dict.fromkeys(f"{_REDUCING} MEAN BATCH_MATMUL CAST DEPTH_TO_SPACE HARD_SWISH PACK".split()),
    **dict.fromkeys(["SPLIT", "SPLIT_V", "TILE", "UNPACK"]),
    **dict.fromkeys(["CUMSUM", "DENSIFY", "GATHER", "ONE_HOT", "PRELU", "RESHAPE", "SELECT", "SELECT_V2"], 1),
    **dict.fromkeys(
        ["CONCATENATION", "QUANTIZE", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "STRIDED_SLICE", "TRANSPOSE"], 2
    ),
    **dict.fromkeys(["DEQUANTIZE", "MUL", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"], 3),
    **dict.fromkeys(["CONV_2D", "DEPTHWISE_CONV_2D"], 6),
    "LSTM": 4,
    "FULLY_CONNECTED": 9,
    **dict.fromkeys(["Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Resampler"]),
}

_REAL: Final = frozenset({"float32", "float16", "int8", "uint8"})
# Element types that some operators read or compute besides these, of what is no constant.
READS_TOO: Final[Mapping[str, frozenset[str]]] = {
    "CAST": frozenset({"bool", "int32"}),
    "ONE_HOT": frozenset({"int32"}),
    "GATHER": frozenset({"int32"}),
    **dict.fromkeys(["SELECT", "SELECT_V2", "LOGICAL_AND"], frozenset({"bool"})),
}
GIVES_TOO: Final[Mapping[str, frozenset[str]]] = {
    "CAST": frozenset({"bool", "int32"}),
    **dict.fromkeys([*_COMPARING.split(), "LOGICAL_AND"], frozenset({"bool"})),
}
_SIGN_BIT: Final = 5
# The delegate has conditions for these too, which are not among the rules below.
UNJUDGED: Final = frozenset(
    [
        "CUMSUM",
        "DENSIFY",
        "LSTM",
        "ONE_HOT",
        "Convolution2DTransposeBias",
        "MaxPoolingWithArgmax2D",
        "MaxUnpooling2D",
        "Resampler",
    ]
)


def has_no_parser(operator: Operator) -> str:
    """An operator that the delegate does not know at all."""
    return "" if operator.kind in VERSIONS else "the GPU delegate does not know this operator"


def is_too_new(operator: Operator) -> str:
    """A version that stands for a type or a shape that came later."""
    most = VERSIONS.get(operator.kind)
    if most is None or operator.version <= most:
        return ""
    return f"it is version {operator.version} of the operator, the GPU delegate takes those up to {most}"


def has_no_layout(operator: Operator) -> str:
    """Rank 5 and above."""
    wide = next((operand for operand in operator.operands if operand.rank > 4), None)
    return (
        ""
        if wide is None
        else f"its tensor {shape_text(wide)} has rank {wide.rank}, the GPU delegate takes up to 4"
    )


def has_no_type(operator: Operator) -> str:
    """Integers and truth values where they are not foreseen."""
    sides = ((operator.computed, READS_TOO, "reads"), (operator.outputs, GIVES_TOO, "computes"))
    for operands, more, does in sides:
        allowed = _REAL | more.get(operator.kind, frozenset())
        other = next((operand.dtype for operand in operands if operand.dtype not in allowed), None)
        if other is not None:
            return f"it {does} {other}, for which the GPU delegate has no form of this operator"
    return ""


def is_no_product(operator: Operator) -> str:
    """A product with a constant becomes a convolution, for which the constant has to be a matrix."""
    if operator.kind != "BATCH_MATMUL" or len(operator.computed) == 2:
        return ""
    _, right = operator.given
    return (
        ""
        if right.constant and right.rank == 2
        else "it multiplies a constant that is no matrix on the right"
    )


def feeds_no_choice(readers: Mapping[int, Sequence[Operator]]) -> Callable[[Operator], str]:
    """A comparison, unless all that reads it is one cast or choice that gives real numbers.

    Args:
        readers: index of a tensor -> the operators that read it.
    """

    def asked(operator: Operator) -> str:
        if operator.kind not in _COMPARING.split():
            return ""
        after = readers.get(operator.outputs[0].index, ())
        fits = len(after) == 1 and after[0].kind in ("CAST", "SELECT", "SELECT_V2")
        if fits and after[0].outputs[0].dtype in ("float16", "float32"):
            return ""
        return "what it compares is not read by a single CAST or SELECT that gives real numbers"

    return asked


def condition(operator: Operator) -> str:
    """What else is asked of an operator of this kind."""
    asked = _CONDITIONS.get(operator.kind)
    return "" if asked is None else asked(operator)


def _inputs(computed: int) -> Callable[[Operator], str]:
    def asked(operator: Operator) -> str:
        has = len(operator.computed)
        return "" if has == computed else f"it has {has} inputs that are no constants, not {computed}"

    return asked


def _two_operands(operator: Operator) -> str:
    if len(operator.given) == 2 and operator.computed:
        return _activation(operator)
    return f"it has {len(operator.given)} operands of which {len(operator.computed)} are no constants"


def _activation(operator: Operator) -> str:
    fused = operator.options.get("fusedActivationFunction")
    return "the activation SIGN_BIT is fused into it" if fused == _SIGN_BIT else ""


def _sum_or_product(operator: Operator) -> str:
    if len(operator.given) != 2:
        return f"it has {len(operator.given)} operands, not 2"
    short, long = sorted((operand.shape or () for operand in operator.given), key=len)
    if len(short) > 1 and len(short) != len(long) and not _spreads(short, long):
        texts = " and ".join(shape_text(operand) for operand in operator.given)
        return f"its operands {texts} have different ranks, which the GPU delegate spreads in few cases alone"
    return _activation(operator) if operator.kind == "MUL" else ""


def _spreads(short: tuple[int | None, ...], long: tuple[int | None, ...]) -> bool:
    """The cases that `CheckAddMulBroadcastCompatibility` names, without the flag that the delegate leaves off."""
    if len(long) != 4:
        return False
    if len(short) == 3:
        return long[0] == 1
    return (long[0] == 1 and short == (1, 1)) or short == (long[0], long[3])


def _convolution(operator: Operator) -> str:
    if len(operator.computed) > 2:
        return f"it has {len(operator.computed)} inputs that are no constants, not 1 or 2"
    return _activation(operator) if operator.kind != "TRANSPOSE_CONV" else ""


def _linear(operator: Operator) -> str:
    image, *_ = operator.given
    if operator.flag("weightsFormat"):
        return "its weights are in a shuffled format"
    if len(operator.computed) > 2:
        return f"it has {len(operator.computed)} inputs that are no constants, at most 2 are taken"
    if operator.flag("keepNumDims") and image.rank != operator.outputs[0].rank:
        made = shape_text(operator.outputs[0])
        return f"it keeps the dimensions of its input, but makes {made} of {shape_text(image)}"
    return ""


def _cast(operator: Operator) -> str:
    pair = (operator.given[0].dtype, operator.outputs[0].dtype)
    real, whole = {"float16", "float32"}, {"float32", "int32"}
    taken = (pair[0] in whole and pair[1] in whole) or any(
        truth == "bool" and number in real for truth, number in (pair, pair[::-1])
    )
    return _inputs(1)(operator) if taken else f"casts from {pair[0]} to {pair[1]} are not foreseen"


def _gather(operator: Operator) -> str:
    indices = operator.given[1]
    if indices.rank != 1 or indices.dtype != "int32":
        return f"its indices are {indices.dtype} of rank {indices.rank}, not int32 of rank 1"
    return ""


def _axes(operator: Operator) -> str:
    axes = operator.given[1]
    if not axes.constant or axes.dtype != "int32":
        return f"its axes are {'constant' if axes.constant else 'computed'} {axes.dtype}, not constant int32"
    return _inputs(1)(operator)


def _slice(operator: Operator) -> str:
    rank = operator.given[0].rank
    for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if operator.flag(mask):
            return f"it uses {mask}, which changes the rank"
    return "" if rank in (3, 4) else f"it slices a tensor of rank {rank}, not 3 or 4"


def _padding(operator: Operator) -> str:
    if operator.kind == "MIRROR_PAD" and operator.flag("mode"):
        return "it mirrors with the edge twice, only REFLECT is taken"
    shape = operator.given[1].shape if len(operator.given) > 1 else None
    if shape not in ((3, 2), (4, 2)):
        return "it pads a tensor of another rank than 3 or 4"
    return _inputs(1)(operator)


def _dequantize(operator: Operator) -> str:
    return "it dequantizes int16" if operator.given[0].dtype == "int16" else ""


def _softmax(operator: Operator) -> str:
    beta = operator.options.get("beta")
    return "" if beta == 1 else f"its beta is {beta}, not 1"


def _pool(operator: Operator) -> str:
    return _inputs(1)(operator) or _activation(operator)


def _pair(operator: Operator) -> str:
    return "" if len(operator.given) == 2 else f"it has {len(operator.given)} operands, not 2"


def _resize(operator: Operator) -> str:
    bilinear = operator.kind == "RESIZE_BILINEAR"
    if bilinear and operator.flag("alignCorners") and operator.flag("halfPixelCenters"):
        return "it asks for align_corners and half_pixel_centers at once"
    return _inputs(1)(operator)


def _blocks(operator: Operator) -> str:
    size = operator.options.get("blockSize")
    if isinstance(size, int) and size > 1:
        return _inputs(1)(operator)
    return f"its block size is {size}, which moves nothing"


def _select(operator: Operator) -> str:
    decides, output = operator.given[0], operator.outputs[0]
    if decides.dtype not in ("bool", "float16", "float32"):
        return f"it chooses by {decides.dtype}, only bool, float16 and float32 are taken"
    for operand in operator.given[1:3]:
        if operand.constant and operand.rank == 2:
            return "it chooses from a constant matrix"
        if operand.shape != output.shape and operand.shape not in ((), (1,)):
            return f"it chooses from {shape_text(operand)} for {shape_text(output)}"
    return ""


_CONDITIONS: Final[Mapping[str, Callable[[Operator], str]]] = {
    **dict.fromkeys(f"{_UNARY} HARD_SWISH RESHAPE TRANSPOSE TILE QUANTIZE".split(), _inputs(1)),
    **dict.fromkeys(_BINARY.split(), _two_operands),
    **dict.fromkeys(("ADD", "MUL"), _sum_or_product),
    **dict.fromkeys(f"{_REDUCING} MEAN".split(), _axes),
    **dict.fromkeys(_PADDING.split(), _padding),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _blocks),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), _slice),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    **dict.fromkeys(("SELECT", "SELECT_V2"), _select),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"), _convolution),
    **dict.fromkeys(_POOLING.split(), _pool),
    **dict.fromkeys(("ADD_N", "BATCH_MATMUL"), _pair),
    "FULLY_CONNECTED": _linear,
    "CAST": _cast,
    "GATHER": _gather,
    "DEQUANTIZE": _dequantize,
    "SOFTMAX": _softmax,
}
