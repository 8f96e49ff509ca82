"""The GPU delegate of LiteRT: which operators of a .tflite file stay on the CPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edgevit.accelerators import _gpu_limits as limits
from edgevit.accelerators._operators import Operator, Reason, Rule, judge, rule_report, shape_text
from edgevit.accelerators._partitions import delegated
from edgevit.accelerators._tflite import EXTRA, read
from edgevit.core.plugins import Checker
from edgevit.core.results.lint import LintReport, NotChecked

NAME: Final = "litert-gpu"
_RULES: Final = (
    Rule(limits.BUILDER, limits.has_no_parser),
    Rule(limits.BUILDER, limits.is_too_new),
    Rule(limits.BUILDER, limits.has_no_layout),
    Rule(limits.BUILDER, limits.has_no_type),
    Rule(limits.BUILDER, limits.is_no_product),
    Rule(limits.CONDITIONS, limits.condition),
)
# TfLiteGpuDelegateOptionsV2Default: max_delegated_partitions.
_PARTITIONS: Final = 1
_OTHER_PIECE: Final = (
    "it stands apart from the largest piece of the graph, the only one that the delegate takes by default"
)


def check(path: Path, backend: str) -> LintReport:
    """Hold each operator against the delegate's conditions, then cut the graph as the delegate does.

    Raises:
        InputError: no TFLite file.
    """
    operators = read(path)
    readers: dict[int, list[Operator]] = {}
    for operator in operators:
        for operand in operator.given:
            readers.setdefault(operand.index, []).append(operator)
    reasons = judge(operators, (*_RULES, Rule(limits.BUILDER, limits.feeds_no_choice(readers))))
    taken = delegated(operators, [not why for why in reasons], _PARTITIONS)
    for index, why in enumerate(reasons):
        if index not in taken and not why:
            why.append(Reason(_OTHER_PIECE, limits.BUILDER))
    by = "the conditions of LiteRT's GPU delegate"
    return rule_report(path, backend, by, operators, reasons, ("gpu", "cpu"), _open(operators))


def _open(operators: tuple[Operator, ...]) -> tuple[NotChecked, ...]:
    found = [
        NotChecked(kind, "the delegate has conditions for it that are not among these rules")
        for kind in sorted({operator.kind for operator in operators} & limits.UNJUDGED)
    ]
    outputs = [output for operator in operators for output in operator.outputs]
    batches = [output for output in outputs if output.shape and output.shape[0] != 1]
    if batches:
        first = f"{batches[0].name} {shape_text(batches[0])}"
        why = (
            "there the delegate falls back to OpenGL, which wants batch 1 in every tensor and takes nothing of the "
            f"graph otherwise; {len(batches)} tensors here have another first dimension, such as {first}"
        )
        found.append(NotChecked("devices without OpenCL", why))
    older = (
        "these are the conditions of 2026; TensorFlow Lite 2.15 also refuses a MUL of which neither operand is the "
        "larger one, a depthwise convolution that multiplies several channels, a GATHER or a choice of integers"
    )
    found.append(NotChecked("older releases of the delegate", older))
    driver = "what a delegate takes can still fail when it is compiled there"
    found.append(NotChecked("the kernels of the device's driver", driver))
    found.append(NotChecked("LiteRT's newer GPU accelerator (ML Drift)", "it has conditions of its own"))
    return tuple(found)


CHECKER: Final = Checker(
    summary="GPU delegate of LiteRT, by the conditions in its source",
    syntax=NAME,
    accepts=NAME.__eq__,
    usual=NAME,
    suffixes=("tflite",),
    kind="rule",
    unavailable=lambda: (
        None if find_spec("ai_edge_litert") else "the Python package 'ai_edge_litert' is not installed"
    ),
    check=check,
    extra=EXTRA,
)
