"""`edgevit lint`: which operators of a file leave an accelerator, why, and of which module they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.answer import Answer, Table
from edgevit.core.results.lint import Finding, LintReport, LintResult
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._lint_files import lint_files
from edgevit.report._lint_rows import NONE_LEAVES, alike, heading, kinds, module_of, shape_of
from edgevit.steps.artifacts import find_artifacts
from edgevit.steps.lint import check_backends

# A table with more rows than this puts the blocks of a model that differ in their numbers alone into one row.
_MANY = 12
_COLUMNS = ("module", "operators", "why", "source")


def lint(path: Path, backends: Sequence[str], recipe: Recipe, progress: Progress | None = None) -> Answer:
    """Hold one file, or every file of a bundle, against accelerators. Nothing is executed on any.

    Args:
        backends: such as `litert-gpu`; none for all that take the format and are there.

    Returns:
        The LintResult; exit code 1 if an operator leaves, 3 if a checker that was asked for is missing or fails.

    Raises:
        UsageError: an accelerator that is not known, or that takes files of other formats.
        InputError: nothing to read.
    """
    check_backends(backends)
    found = find_artifacts(path)
    if backends:
        check_backends(backends, {one.path.suffix.removeprefix(".") for one in found}, str(path))
    alone = found[0].path == path
    files = [(one.path, str(path) if alone else one.path.relative_to(path).as_posix()) for one in found]
    result = lint_files(files, backends, recipe, progress or Silent())
    return Answer(to_plain(result), tables(result), result.exit_code)


def tables(result: LintResult) -> tuple[Table, ...]:
    """One for each report, then where the reasons come from, and what could not be told."""
    sources = list(dict.fromkeys(found.source for report in result.reports for found in report.findings))
    numbers = {source: str(number) for number, source in enumerate(sources, 1)}
    open_questions = [
        (report.backend, item.what, item.why) for report in result.reports for item in report.not_checked
    ]
    missing = [(one.backend, one.artifact, one.why) for one in result.unanswered]
    found = [_table(report, numbers) for report in result.reports]
    for title, columns, rows in (
        ("sources", ("source", "where"), [(number, source) for source, number in numbers.items()]),
        ("not checked", ("for", "what", "why"), open_questions),
        ("no answer", ("for", "file", "why"), missing),
    ):
        if rows:
            found.append(Table(title, columns, tuple(dict.fromkeys(rows))))
    return tuple(found)


def _table(report: LintReport, numbers: Mapping[str, str]) -> Table:
    rows = _rows(report, numbers, lambda module: module)
    if len(rows) > _MANY:
        rows = _rows(report, numbers, shape_of)
    return Table(heading(report), _COLUMNS, rows or (("", "none", NONE_LEAVES, report.kind),))


def _rows(
    report: LintReport, numbers: Mapping[str, str], group: Callable[[str], str]
) -> tuple[tuple[str, ...], ...]:
    grouped: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in report.findings:
        grouped.setdefault((group(module_of(finding)), finding.reason, finding.source), []).append(finding)
    return tuple(
        (alike(map(module_of, found)), kinds(found), reason, f"{found[0].kind}, {numbers[source]}")
        for (_, reason, source), found in grouped.items()
    )
