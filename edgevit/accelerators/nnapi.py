"""Android's Neural Networks API: which operators of a .tflite or .onnx file stay on the CPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edgevit.accelerators import _nnapi_limits as limits
from edgevit.accelerators import _onnx, _ort_nnapi, _tflite
from edgevit.accelerators._operators import Reason, Rule, judge, rule_report
from edgevit.accelerators._partitions import delegated
from edgevit.core.plugins import Checker
from edgevit.core.results.lint import LintReport, NotChecked

NAME: Final = "nnapi"
_RULES: Final = (
    Rule(limits.DELEGATE, limits.is_unknown),
    Rule(limits.DELEGATE, limits.is_too_new),
    Rule(limits.API, limits.has_no_rank),
    Rule(limits.DELEGATE, limits.has_no_type),
    Rule(limits.DELEGATE, limits.is_no_constant),
    Rule(limits.DELEGATE, limits.is_flexible),
    Rule(limits.DELEGATE, limits.condition),
)
# StatefulNnApiDelegate::Options: max_number_delegated_partitions.
_PARTITIONS: Final = 3
_OTHER_PIECE: Final = (
    f"it stands apart from the {_PARTITIONS} largest pieces of the graph, "
    "the only ones that the delegate takes by default"
)
_OPEN: Final = (
    NotChecked(
        "the drivers of the device",
        "NNAPI asks each for the operations that it takes, and gives the CPU what none does",
    ),
    NotChecked(
        "Android 15 and later",
        "NNAPI is deprecated there: https://developer.android.com/ndk/guides/neuralnetworks",
    ),
)


def check(path: Path, backend: str) -> LintReport:
    """By LiteRT's delegate for .tflite, by ONNX Runtime's execution provider for .onnx.

    Raises:
        InputError: no such file.
        MissingDependencyError: the package that reads it is not installed.
    """
    return _of_onnx(path, backend) if path.suffix == ".onnx" else _of_tflite(path, backend)


def _of_tflite(path: Path, backend: str) -> LintReport:
    operators = _tflite.read(path)
    reasons = judge(operators, _RULES)
    taken = delegated(operators, [not why for why in reasons], _PARTITIONS)
    for index, why in enumerate(reasons):
        if index not in taken and not why:
            why.append(Reason(_OTHER_PIECE, limits.DELEGATE))
    unjudged = sorted({operator.kind for operator in operators} & limits.UNJUDGED)
    open_rules = "the delegate has conditions for it that are not among these rules"
    more = tuple(NotChecked(kind, open_rules) for kind in unjudged)
    by = "the ranks of NNAPI and the conditions of LiteRT's NNAPI delegate, as of Android 11"
    return rule_report(path, backend, by, operators, reasons, ("nnapi", "cpu"), (*more, *_OPEN))


def _of_onnx(path: Path, backend: str) -> LintReport:
    operators = _onnx.read(path)
    known = _ort_nnapi.notes()
    by = "the ranks of NNAPI and the list of ONNX Runtime's NNAPI execution provider"
    reasons = judge(operators, _ort_nnapi.rules(known))
    return rule_report(path, backend, by, operators, reasons, ("nnapi", "cpu"), _OPEN)


def _unavailable() -> str | None:
    if find_spec("ai_edge_litert") or find_spec("onnx"):
        return None
    return "neither the Python package 'ai_edge_litert' nor 'onnx' is installed"


CHECKER: Final = Checker(
    summary="Android's Neural Networks API, by its ranks and by what LiteRT and ONNX Runtime hand over to it",
    syntax=NAME,
    accepts=NAME.__eq__,
    usual=NAME,
    suffixes=("tflite", "onnx"),
    kind="rule",
    unavailable=_unavailable,
    check=check,
)
