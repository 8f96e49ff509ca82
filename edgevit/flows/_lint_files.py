"""Hold files against accelerators, each pair in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevit.core._plain import from_plain
from edgevit.core.errors import EdgevitError, UsageError, nearest
from edgevit.core.plugins import Checker
from edgevit.core.process import worker
from edgevit.core.progress import Progress
from edgevit.core.results.lint import LintReport, LintResult, NoAnswer
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.registries import CHECKERS
from edgevit.steps.lint import LintRequest


@dataclass(frozen=True, slots=True)
class _Asked:
    """One accelerator: the plug-in that knows it, and what was typed."""

    checker: str
    backend: str
    plugin: Checker
    by_name: bool


def check_backends(backends: Sequence[str]) -> None:
    """Raise UsageError for a name that no checker knows, before any work."""
    for backend in backends:
        _checker_of(backend)


def lint_files(
    files: Sequence[tuple[Path, str]], backends: Sequence[str], recipe: Recipe, progress: Progress
) -> LintResult:
    """The reports in the order of the files; of each file those accelerators that take its format.

    Args:
        files: each with what the report calls it.
        backends: as typed; none for every accelerator, as far as it can be asked here.

    Raises:
        UsageError: a name, an architecture or a size that is not known, or an accelerator that takes none of the files.
        InputError: a file that cannot be read.
    """
    asked = [_Asked(*_checker_of(backend), True) for backend in backends] or [
        _Asked(name, plugin.usual, plugin, False) for name, plugin in CHECKERS.usable().items()
    ]
    suffixes = {path.suffix.removeprefix(".") for path, _ in files}
    for one in asked:
        if one.by_name and not suffixes & set(one.plugin.suffixes):
            kinds = " and ".join(f".{suffix}" for suffix in one.plugin.suffixes)
            given = files[0][0].name if len(files) == 1 else f"the {len(files)} files"
            raise UsageError(f"{one.backend} takes {kinds}, and {given} is no such file", _fitting(suffixes))
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
        elif result.exit_code == UsageError.exit_code:
            raise result
        else:
            progress.trace(f"{job.step}:\n{worker.trace_of(result)}")
            why = f"{result.message}: {result.hint}" if result.hint else result.message
            unanswered.append(NoAnswer(shown, one.backend, why, True))
    return LintResult(tuple(reports), tuple(unanswered))


def _checker_of(backend: str) -> tuple[str, str, Checker]:
    known = CHECKERS.usable()
    for name, plugin in known.items():
        if plugin.accepts(backend):
            return name, backend, plugin
    raise UsageError(
        f"unknown accelerator {backend!r}", nearest(backend, [plugin.syntax for plugin in known.values()])
    )


def _fitting(suffixes: set[str]) -> str:
    names = [p.syntax for p in CHECKERS.usable().values() if suffixes & set(p.suffixes)]
    return f"such files can be held against {', '.join(names)}" if names else "give a file of another format"


def _with_command(reason: str, plugin: Checker) -> str:
    return f"{reason}; pip install 'edgevit[{plugin.extra}]'" if plugin.extra else reason
