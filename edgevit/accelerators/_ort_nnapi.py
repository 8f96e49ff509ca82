"""What ONNX Runtime's NNAPI execution provider takes: the list that its package ships, and limits of the API."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edgevit.accelerators._nnapi_limits import API
from edgevit.accelerators._operators import Operator, Rule, shape_text
from edgevit.core.errors import MissingDependencyError

LIST: Final = "https://onnxruntime.ai/docs/execution-providers/NNAPI-ExecutionProvider.html"
_FIXED: Final = "https://onnxruntime.ai/docs/tutorials/mobile/helpers/make-dynamic-shape-fixed.html"
_FILE: Final = "tools/mobile_helpers/nnapi_supported_ops.md"

# Operators that become operations of the API with "Supported tensor rank: up to 4".
_RANK_4: Final = frozenset(
    [
        "Add",
        "AveragePool",
        "Concat",
        "Conv",
        "DepthToSpace",
        "DequantizeLinear",
        "Div",
        "Flatten",
        "Floor",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LRN",
        "MatMul",
        "MaxPool",
        "Mul",
        "Pad",
        "QLinearConv",
        "QLinearMatMul",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
    ]
)
# Inputs, by number, that the list wants as constants; "Input indices should be constant if not int32 type" and the like
# stand with the rules.
_CONSTANTS: Final[Mapping[str, tuple[int, ...]]] = {
    "Conv": (1, 2),
    "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "Pad": (1, 2),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Split": (1,),
}
_TWO_DIMENSIONAL: Final = frozenset(
    ["AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "QLinearConv", "Resize"]
)


def notes() -> Mapping[str, str]:
    """Operator -> what the list of the installed package says of it, "" where nothing.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed, or its package has no such list.
    """
    spec = find_spec("onnxruntime")
    folders = (
        [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    )
    file = next((Path(folder) / _FILE for folder in folders if (Path(folder) / _FILE).is_file()), None)
    if file is None:
        raise MissingDependencyError(
            "the list of operators that ONNX Runtime's NNAPI execution provider takes is not installed",
            "pip install 'edgevit[onnx]'",
        )
    rows = [line.split("|") for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return {
        row[1].removeprefix("ai.onnx:"): row[2].replace("<br/>", " ")
        for row in rows
        if len(row) == 4 and ":" in row[1]
    }


def rules(known: Mapping[str, str]) -> tuple[Rule, ...]:
    """Those of a list."""

    def is_unknown(operator: Operator) -> str:
        return (
            ""
            if operator.kind in known
            else "ONNX Runtime's NNAPI execution provider does not know this operator"
        )

    return (
        Rule(LIST, is_unknown),
        Rule(_FIXED, _is_flexible),
        Rule(API, _has_no_rank),
        Rule(LIST, _is_no_constant),
        Rule(LIST, _condition),
    )


def _is_flexible(operator: Operator) -> str:
    loose = next(
        (operand for operand in operator.given if operand.shape is None or None in operand.shape), None
    )
    return "" if loose is None else f"the shape {shape_text(loose)} of its input {loose.name} is not fixed"


def _has_no_rank(operator: Operator) -> str:
    wide = next((operand for operand in operator.operands if operand.rank > 4), None)
    if operator.kind not in _RANK_4 or wide is None:
        return ""
    return f"its tensor {shape_text(wide)} has rank {wide.rank}, NNAPI takes up to 4"


def _is_no_constant(operator: Operator) -> str:
    for at in _CONSTANTS.get(operator.kind, ()):
        operand = operator.inputs[at] if at < len(operator.inputs) else None
        if operand is not None and not operand.constant:
            return f"its input {operand.name} is computed, a constant is wanted there"
    return ""


def _condition(operator: Operator) -> str:
    first = operator.inputs[0]
    if (
        operator.kind in _TWO_DIMENSIONAL
        and first is not None
        and first.shape is not None
        and first.rank != 4
    ):
        return f"its input {shape_text(first)} is no batch of images, only those are taken"
    if operator.kind == "DepthToSpace" and operator.options.get("mode", "DCR") != "DCR":
        return f"its mode is {operator.options['mode']}, only DCR is taken"
    if operator.kind == "Pad" and operator.options.get("mode", "constant") != "constant":
        return f"its mode is {operator.options['mode']}, only constant is taken"
    if operator.kind == "Gather":
        indices = operator.inputs[1]
        if indices is not None and not indices.constant and indices.dtype != "int32":
            return f"its indices are computed and {indices.dtype}, not constant or int32"
    if operator.kind == "Gemm":
        right = operator.inputs[1]
        if right is not None and not right.constant and not operator.flag("transB"):
            return "its second operand is computed and not transposed"
    return ""
