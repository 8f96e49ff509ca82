"""Hold files against accelerators, each pair in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgevit.core._plain import from_plain
from edgevit.core.errors import EdgevitError, UsageError
from edgevit.core.plugins import Checker
from edgevit.core.process import worker
from edgevit.core.progress import Progress
from edgevit.core.results.lint import LintReport, LintResult, NoAnswer
from edgevit.core.results.report import NotDone, Report
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.registries import CHECKERS
from edgevit.steps.lint import LintRequest, checker_of


@dataclass(frozen=True, slots=True)
class _Asked:
    """One accelerator: what was typed, and the plug-in that knows it."""

    backend: str
    checker: str
    plugin: Checker
    by_name: bool


def lint_files(
    files: Sequence[tuple[Path, str]],
    backends: Sequence[str],
    recipe: Recipe,
    progress: Progress,
    ends: bool = True,
) -> LintResult:
    """The reports in the order of the files; of each file those accelerators that take its format.

    Args:
        files: each with what the report calls it.
        backends: as typed, known; none for every accelerator, as far as it can be asked here.
        ends: whether what the user has to correct is raised; else it is an answer that is missing, like any other.

    Raises:
        UsageError: an architecture or a size that is not known.
        InputError: a file that cannot be read.
    """
    asked = [_Asked(backend, *checker_of(backend), True) for backend in backends] or [
        _Asked(plugin.usual, name, plugin, False) for name, plugin in CHECKERS.usable().items()
    ]
    todo, unanswered = [], []
    for path, shown in files:
        for one in asked:
            if path.suffix.removeprefix(".") not in one.plugin.suffixes:
                continue
            missing = one.plugin.unavailable()
            if missing is None:
                todo.append((path, shown, one))
            else:
                unanswered.append(
                    NoAnswer(shown, one.backend, _with_command(missing, one.plugin), one.by_name)
                )
    progress.stage("holding files against accelerators", len(todo))
    jobs = [
        _jobs.on_file(
            f"holding {shown} against {one.backend}",
            "lint:lint",
            LintRequest(str(path.absolute()), shown, one.checker, one.backend),
            path,
            recipe,
        )
        for path, shown, one in todo
    ]
    reports = []
    results = worker.run_many(jobs, _jobs.parallel(recipe))
    for (_, shown, one), job, result in zip(todo, jobs, results, strict=True):
        progress.advance()
        if not isinstance(result, EdgevitError):
            reports.append(from_plain(LintReport, result, job.step))
        elif ends and result.exit_code == UsageError.exit_code:
            raise result
        else:
            progress.trace(f"{job.step}:\n{worker.trace_of(result)}")
            why = f"{result.message}: {result.hint}" if result.hint else result.message
            unanswered.append(NoAnswer(shown, one.backend, why, True))
    return LintResult(tuple(reports), tuple(unanswered))


def with_lint(report: Report, bundle: Path, recipe: Recipe, progress: Progress) -> Report:
    """The report with what `--lint` asked of each file; what gave no answer is among what was not done."""
    files = [
        (bundle / artifact.path, artifact.path) for artifact in report.artifacts if artifact.path is not None
    ]
    if not recipe.lint or not files:
        return report
    found = lint_files(files, recipe.lint, recipe, progress, ends=False)
    by_file: dict[str, list[LintReport]] = {}
    for one in found.reports:
        by_file.setdefault(one.artifact, []).append(one)
    artifacts = tuple(
        replace(artifact, lint=tuple(by_file.get(artifact.path or "", ()))) for artifact in report.artifacts
    )
    missing = (NotDone(f"holding {one.artifact} against {one.backend}", one.why) for one in found.unanswered)
    return replace(report, artifacts=artifacts, not_done=(*report.not_done, *missing))


def _with_command(reason: str, plugin: Checker) -> str:
    return f"{reason}; pip install 'edgevit[{plugin.extra}]'" if plugin.extra else reason
