"""What vendors' compilers make of the files of a bundle, beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from edgevit.core.errors import EdgevitError, UsageError
from edgevit.core.process import worker
from edgevit.core.progress import Progress
from edgevit.core.results.report import ArtifactReport, NotDone, Report
from edgevit.core.settings.recipe import Recipe
from edgevit.flows.compile import check_installed, compile_one, compiler_of


def check_compilers(accelerators: Sequence[str], suffixes: Collection[str]) -> None:
    """Refuse an accelerator before any work.

    Args:
        suffixes: of the files that will be there.

    Raises:
        UsageError: no compiler is known for it, or it takes none of the files.
        MissingDependencyError: its compiler is not installed.
    """
    for accelerator in accelerators:
        _, plugin, _ = compiler_of(accelerator)
        if not set(suffixes) & set(plugin.suffixes):
            kinds = " and ".join(f".{suffix}" for suffix in plugin.suffixes)
            raise UsageError(
                f"the compiler for {accelerator} takes {kinds} files, and none is made", "add it to --to"
            )
        check_installed(accelerator)


def with_compiled(report: Report, bundle: Path, recipe: Recipe, progress: Progress) -> Report:
    """The report with what `--compile` made; what a compiler refused is among what was not done."""
    artifacts, missing = list(report.artifacts), []
    for accelerator in recipe.compile:
        _, plugin, _ = compiler_of(accelerator)
        for index, artifact in enumerate(artifacts):
            if artifact.path is None or Path(artifact.path).suffix.removeprefix(".") not in plugin.suffixes:
                continue
            progress.stage(f"compiling {artifact.name} for {accelerator}")
            try:
                artifacts[index] = _compiled(artifact, artifact.path, bundle, accelerator, recipe)
            except EdgevitError as error:
                progress.trace(f"compiling {artifact.name} for {accelerator}:\n{worker.trace_of(error)}")
                missing.append(NotDone(f"compiling {artifact.name} for {accelerator}", error.message))
    return replace(report, artifacts=tuple(artifacts), not_done=(*report.not_done, *missing))


def _compiled(
    artifact: ArtifactReport, path: str, bundle: Path, accelerator: str, recipe: Recipe
) -> ArtifactReport:
    made = Path(path).with_name(f"{accelerator}{Path(path).suffix}")
    found = compile_one(bundle / path, path, accelerator, {}, bundle / made, recipe)
    found = replace(found, output=made.as_posix())
    operators = found.operators
    note = (
        f"Compiled for {accelerator} by {found.compiler} as {made.as_posix()}: {operators.npu} of "
        f"{operators.npu + operators.cpu} operators on the NPU."
    )
    return replace(artifact, compiled=(*artifact.compiled, found), notes=(*artifact.notes, note))
