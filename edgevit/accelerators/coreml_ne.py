"""Apple's Neural Engine: which operations of an .mlpackage run elsewhere, as far as Apple says so.

Apple publishes no list: "it changes based on device generation, operating system version, tensor sizes"
(https://github.com/apple/coremltools/issues/1780). These are the few things that it does say.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edgevit.accelerators._mil import EXTRA, read
from edgevit.accelerators._operators import Operator, Rule, judge, rule_report, shape_text
from edgevit.core.plugins import Checker
from edgevit.core.results.lint import LintReport, NotChecked

NAME: Final = "coreml-ne"
_TYPED: Final = "https://apple.github.io/coremltools/docs-guides/source/typed-execution-example.html"
_FORUM: Final = "https://developer.apple.com/forums/thread/724930"
_NO_LIST: Final = "https://github.com/apple/coremltools/issues/1780"
_RANK: Final = "https://github.com/apple/coremltools/issues/2536"
_COMPILER: Final = "https://github.com/AUTOMATIC1111/stable-diffusion-webui/issues/13527"
_LAYOUT: Final = "https://machinelearning.apple.com/research/neural-engine-transformers"

_RECURRENT: Final = ("gru", "lstm", "rnn")
_RANK_LIMIT: Final = 5
# Apple's compiler for the engine, of a tensor that is too large: N[1-65536]D[1-16384]C[1-65536]H[1-16384]W[1-16384].
_SIZES: Final = (65536, 65536, 16384, 16384)


def check(path: Path, backend: str) -> LintReport:
    """Hold each operation against what Apple says.

    Raises:
        InputError: no package.
        UnsupportedError: it holds no ML program.
    """
    file = read(path)
    rules = [
        Rule(_TYPED, _is_float32),
        Rule(_NO_LIST, _is_recurrent),
        Rule(_RANK, _has_no_rank),
        Rule(_COMPILER, _is_too_large),
    ]
    if file.ranges:
        rules.append(Rule(_FORUM, _is_flexible))
    by, places = "what Apple says of the Neural Engine", ("not ruled out", "gpu or cpu")
    reasons = judge(file.operators, rules)
    return rule_report(path, backend, by, file.operators, reasons, places, _open(file.operators))


def _is_float32(operator: Operator) -> str:
    if operator.kind == "cast" or not any(output.dtype == "float32" for output in operator.outputs):
        return ""
    return "it computes float32, which runs on GPU and CPU"


def _is_recurrent(operator: Operator) -> str:
    return "recurrent layers are not supported on the Neural Engine" if operator.kind in _RECURRENT else ""


def _has_no_rank(operator: Operator) -> str:
    wide = next((operand for operand in operator.operands if operand.rank > _RANK_LIMIT), None)
    if wide is None:
        return ""
    has = f"its tensor {shape_text(wide)} has rank {wide.rank}"
    return f"{has}, Core ML takes up to {_RANK_LIMIT} and loads no such file"


def _is_too_large(operator: Operator) -> str:
    for operand in (*operator.computed, *operator.outputs):
        limits = _SIZES if operand.rank == len(_SIZES) else (max(_SIZES),) * operand.rank
        sizes = zip(operand.shape or (), limits, strict=True)
        if any(size is not None and size > limit for size, limit in sizes):
            return f"its tensor {shape_text(operand)} has a dimension above {min(limits)}"
    return ""


def _is_flexible(operator: Operator) -> str:
    loose = next((operand for operand in operator.operands if operand.shape and None in operand.shape), None)
    if loose is None:
        return ""
    has = f"its tensor {shape_text(loose)} depends on a range of input shapes"
    return f"{has}, of which only the default one runs there"


def _open(operators: tuple[Operator, ...]) -> tuple[NotChecked, ...]:
    found = []
    other = [
        operator for operator in operators if any(output.rank not in (0, 4) for output in operator.outputs)
    ]
    if other:
        why = (
            f"{len(other)} of {len(operators)} operations compute a tensor of another rank than 4; the engine's own is "
            f"(batch, channels, 1, sequence), and its last axis is padded to 64 bytes ({_LAYOUT})"
        )
        found.append(NotChecked("the layout of the tensors", why))
    why = (
        f"Apple publishes no list, since it differs by device, system and size ({_NO_LIST}); on a Mac, "
        "`edgevit profile` shows where Core ML runs each"
    )
    return (*found, NotChecked("all other operations", why))


CHECKER: Final = Checker(
    summary="Apple's Neural Engine, by the few things that Apple says of it",
    syntax=NAME,
    accepts=NAME.__eq__,
    usual=NAME,
    suffixes=("mlpackage",),
    kind="rule",
    unavailable=lambda: (
        None if find_spec("coremltools") else "the Python package 'coremltools' is not installed"
    ),
    check=check,
    extra=EXTRA,
)
