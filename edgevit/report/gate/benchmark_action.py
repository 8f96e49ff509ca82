"""Figures for the trend pages of github-action-benchmark, as its `customSmallerIsBetter` reads them.

https://github.com/benchmark-action/github-action-benchmark: a list of name, unit and value. It divides a value by the
one before to raise an alarm, which means something for positive numbers only. So accuracy and agreement stand there
as what is missing to 100 %, not as a drop, which may be negative or zero and would begin anew with each baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgevit.core._plain import to_plain
from edgevit.core.foreign import json_text
from edgevit.core.results.gate import Check, CheckKind, GateReport


@dataclass(frozen=True, slots=True)
class Figure:
    """One point of one curve; the curve is known by its name."""

    name: str
    unit: str
    value: float


_PERCENT: Final = 100.0
# What the curve of a check is called; the name of its file stands before it.
_CURVES: Final[dict[CheckKind, str]] = {
    "accuracy": "top-1 error",
    "agreement": "disagreement with the float model",
    "size": "size",
    "latency": "latency",
    "memory": "peak memory",
}


def figures(report: GateReport) -> tuple[Figure, ...]:
    """The figures of the bundle, whether or not the baseline has them too, in the order of their names."""
    made = (_figure(check) for check in report.checks)
    return tuple(sorted((figure for figure in made if figure is not None), key=lambda each: each.name))


def render(report: GateReport) -> str:
    """As a JSON list."""
    return json_text([to_plain(figure) for figure in figures(report)], 2) + "\n"


def _figure(check: Check) -> Figure | None:
    curve = _CURVES.get(check.kind)
    if curve is None or check.new is None:
        return None
    name = f"{check.subject} {curve}"
    if check.unit == "%":
        return Figure(name, "%", round(_PERCENT - check.new, 6))
    return Figure(name, check.unit, check.new)
