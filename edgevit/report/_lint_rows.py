"""Which operators of a file leave an accelerator, as rows of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edgevit.core.results.lint import Finding, LintReport
from edgevit.core.results.report import Report
from edgevit.validate.operator_times import block_of

# Of a report, where a file is one of several: a row for each reason.
COLUMNS: Final = ("operators", "why", "modules", "said by")
THE_MODEL: Final = "the model itself"
NONE_LEAVES: Final = "no operator leaves"


@dataclass(frozen=True, slots=True)
class LintTable:
    """One file and one accelerator: how many operators run where, and cells in the order of COLUMNS for each reason."""

    title: str
    rows: tuple[tuple[str, ...], ...]


def lint_tables(report: Report) -> tuple[LintTable, ...]:
    """One table for each file and accelerator that was asked for."""
    return tuple(
        LintTable(heading(one), _rows(one)) for artifact in report.artifacts for one in artifact.lint
    )


def heading(report: LintReport) -> str:
    """`model.tflite for litert-gpu: 310 gpu, 12 cpu, by the conditions of ...`."""
    counts = ", ".join(f"{count} {place}" for place, count in report.operators.items())
    return f"{report.artifact} for {report.backend}: {counts}, by {report.checked_by}"


def module_of(finding: Finding) -> str:
    """The part of the model that its module belongs to."""
    return block_of(finding.module) if finding.module else THE_MODEL


def shape_of(module: str) -> str:
    """The same for the blocks of a model that differ in their numbers alone: `blocks.*.attn`."""
    return ".".join("*" if part.isdecimal() else part for part in module.split("."))


def alike(modules: Iterable[str]) -> str:
    """One name for modules of one shape: `blocks.*.attn (12)`, itself for a single one."""
    names = list(dict.fromkeys(modules))
    if len(names) == 1:
        return names[0]
    columns = zip(*(name.split(".") for name in names), strict=True)
    return f"{'.'.join(column[0] if len(set(column)) == 1 else '*' for column in columns)} ({len(names)})"


def kinds(findings: Iterable[Finding]) -> str:
    """`2 RESHAPE, TRANSPOSE`."""
    counted = Counter(finding.operator for finding in findings)
    return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in counted.items())


def _rows(report: LintReport) -> tuple[tuple[str, ...], ...]:
    grouped: dict[str, list[Finding]] = {}
    for finding in report.findings:
        grouped.setdefault(finding.reason, []).append(finding)
    found = (
        (kinds(group), reason, _modules([module_of(one) for one in group]), group[0].kind)
        for reason, group in grouped.items()
    )
    return tuple(found) or (("none", NONE_LEAVES, "", report.kind),)


def _modules(names: Sequence[str]) -> str:
    """The first, and how many others."""
    first, *others = dict.fromkeys(names)
    return f"{first} and {len(others)} more" if others else first
