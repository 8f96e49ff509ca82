"""`edgevit compile`: what a vendor's compiler makes of a file, before there is a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core._plain import to_plain
from edgevit.core.disk.whole_files import copy
from edgevit.core.errors import MissingDependencyError, UnsupportedError, UsageError, nearest
from edgevit.core.plugins import Checker, Compiler, CompileRequest
from edgevit.core.process import tool_environment
from edgevit.core.process.sandbox import Sandbox
from edgevit.core.process.scratch import scratch
from edgevit.core.process.worker import Job
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.answer import Answer, Table
from edgevit.core.results.compiled import CompilerReport, Estimate, Placed
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.flows._gate.places import check_places
from edgevit.flows.doctor import install_command
from edgevit.registries import CHECKERS
from edgevit.steps.artifacts import one_artifact
from edgevit.steps.compile_file import CompileFile

_MOST: Final = 20


def compile_for(
    artifact: Path | None,
    accelerator: str,
    options: Mapping[str, str],
    output: Path | None,
    setup: bool,
    progress: Progress | None = None,
) -> Answer:
    """Compile a file, or with `setup` and without a file install the compiler alone.

    Raises:
        UsageError: an unknown accelerator or option, or nothing to do.
        MissingDependencyError: the compiler is not installed.
        UnsupportedError: the compiler takes no such files, or refuses this one.
        StepError: it crashed.
    """
    progress = progress or Silent()
    _, plugin, compiler = compiler_of(accelerator)
    for key in options:
        if key not in compiler.options:
            raise UsageError(
                f"the compiler for {accelerator} has no option {key!r}", nearest(key, compiler.options)
            )
    if artifact is None and not setup:
        raise UsageError("no file was given to compile", f"edgevit compile model.tflite --for {accelerator}")
    if output is not None:
        check_places({"--output": output}, artifact or output.parent / f"{output.name}.in", {})
    if setup:
        if compiler.tool is None:
            raise UsageError(
                f"the compiler for {accelerator} has no environment of its own", install_command(plugin.extra)
            )
        tool_environment.make(compiler.tool, progress)
    if artifact is None:
        assert compiler.tool is not None  # else there was no `setup`
        rows = (("compiler", str(compiler.tool)), ("in", str(tool_environment.folder_of(compiler.tool))))
        return Answer(dict(rows), (Table("installed", ("what", "value"), rows),))
    found = one_artifact(artifact).path
    if found.suffix.removeprefix(".") not in plugin.suffixes:
        kinds = " and ".join(f".{suffix}" for suffix in plugin.suffixes)
        raise UnsupportedError(
            f"the compiler for {accelerator} takes {kinds} files, not {found.name}",
            "convert the model for it",
        )
    check_installed(accelerator)
    progress.stage(f"compiling {found.name} for {accelerator}")
    settings = Recipe(model=str(found))
    report = compile_one(found, str(found), accelerator, _absolute(compiler, options), output, settings)
    report = replace(report, output=None if output is None else str(output))
    return Answer(to_plain(report), tables(report))


def check_installed(accelerator: str) -> None:
    """Refuse an accelerator whose compiler is not here.

    Raises:
        UsageError: there is none for it.
        MissingDependencyError: it is not installed.
    """
    _, plugin, compiler = compiler_of(accelerator)
    missing = plugin.unavailable() if compiler.tool is None else tool_environment.missing(compiler.tool)
    if missing is not None:
        setup_command = f"edgevit compile --for {accelerator} --setup"
        by_extra = install_command(plugin.extra) if "not installed" in missing else ""
        raise MissingDependencyError(missing, by_extra if compiler.tool is None else setup_command)


def compile_one(
    path: Path,
    shown: str,
    accelerator: str,
    options: Mapping[str, str],
    output: Path | None,
    recipe: Recipe,
) -> CompilerReport:
    """Compile in a sandbox; what was compiled appears as `output`, whole or not at all.

    Args:
        shown: what the report calls the file.
        recipe: for the limits of the process.

    Raises:
        UnsupportedError: the compiler refuses the file.
        StepError: it crashed.
    """
    name, _, _ = compiler_of(accelerator)
    with scratch() as folder:
        request = CompileRequest(str(path.absolute()), shown, accelerator, str(folder), options)
        report = _jobs.run(_job(CompileFile(name, request), path, folder, recipe), CompilerReport)
        if output is not None and report.output is not None:
            copy(Path(report.output), output)
    return report


def compiler_of(accelerator: str) -> tuple[str, Checker, Compiler]:
    """The plug-in that compiles for an accelerator: its name, itself, its compiler.

    Raises:
        UsageError: there is none, or it does not know that architecture or size.
    """
    known = CHECKERS.usable()
    for name, plugin in known.items():
        if plugin.compiler is not None and plugin.accepts(accelerator):
            plugin.compiler.check(accelerator)
            return name, plugin, plugin.compiler
    names = [plugin.usual for plugin in known.values() if plugin.compiler is not None]
    raise UsageError(f"no compiler is known for {accelerator!r}", nearest(accelerator, names))


def _job(asked: CompileFile, path: Path, folder: Path, recipe: Recipe) -> Job:
    limits = _jobs.limits_of(recipe, 1, Sandbox((str(folder),)))
    function = "edgevit.steps.compile_file:compile_file"
    return Job(f"compiling {path.name}", function, to_plain(asked), limits, file=str(path))


def _absolute(compiler: Compiler, options: Mapping[str, str]) -> dict[str, str]:
    """Options that name a file of the user, which the compiler would look for elsewhere."""
    found = dict(options)
    for key in compiler.files:
        if key in found and Path(found[key]).is_file():
            found[key] = str(Path(found[key]).absolute())
    return found


def tables(report: CompilerReport) -> tuple[Table, ...]:
    """For the terminal."""
    rows = [
        ("compiler", report.compiler),
        ("operators on the NPU", _share(report.operators)),
        ("multiply-accumulates on the NPU", _share(report.macs)),
    ]
    if report.output is not None:
        rows.append(("compiled file", report.output))
    shown = [Table(f"{report.artifact} on {report.accelerator}", ("what", "value"), tuple(rows))]
    if report.estimate is not None:
        shown.append(_estimates(report.estimate))
    if report.findings:
        shown.append(_left(report))
    return tuple(shown)


def _estimates(told: Estimate) -> Table:
    rows = (
        ("board", f"{told.system}, {told.memory}"),
        ("cycles", f"{told.cycles:,} at {told.clock_hz / 1e6:g} MHz: {told.milliseconds:.3f} ms"),
        ("cycles of the NPU", f"{told.npu_cycles:,}"),
        ("cycles of SRAM, DRAM, flash", _joined(told.sram_cycles, told.dram_cycles, told.flash_cycles)),
        ("bytes of SRAM, DRAM, flash", _joined(told.sram_bytes, told.dram_bytes, told.flash_bytes)),
        ("bytes of weights", f"{told.weight_bytes:,}"),
    )
    return Table(f"estimated by {told.by}, not measured", ("what", "value"), rows)


def _left(report: CompilerReport) -> Table:
    counts = Counter((found.operator, found.reason) for found in report.findings)
    first = {(found.operator, found.reason): found for found in reversed(report.findings)}
    rows = [
        (kind, str(count), first[kind, reason].module or first[kind, reason].name, reason)
        for (kind, reason), count in counts.most_common()
    ]
    if len(rows) > _MOST:
        rows = [*rows[:_MOST], ("...", "", "", f"{len(rows) - _MOST} more with --json")]
    return Table("on the CPU", ("operator", "times", "first in", "why"), tuple(rows))


def _share(placed: Placed) -> str:
    return f"{placed.npu:,} of {placed.npu + placed.cpu:,} ({placed.share:.1%})"


def _joined(*numbers: int) -> str:
    return ", ".join(f"{number:,}" for number in numbers)
