"""How the steps of a flow are run: which limits, how many beside each other, who is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.process import worker
from edgevit.core.process.cores import usable_cores
from edgevit.core.process.sandbox import Sandbox
from edgevit.core.progress import Advance, Emit, Event, FileDone, Progress, Stage, Warn
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe
from edgevit.registries import SOURCES
from edgevit.steps.messages import Built, Executed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Result = TypeVar("Result", bound="DataclassInstance")


def job(
    step: str,
    function: str,
    request: DataclassInstance,
    recipe: Recipe,
    threads: int,
    on_event: Emit,
    writable: Sequence[Path] = (),
    data_only: bool = False,
    alone: bool = False,
    foreign: bool = False,
) -> worker.Job:
    """One step with the limits of the recipe.

    Every step of a model that is data of unknown origin runs in a sandbox, not only the one that opens the
    file: what that one leaves behind is no more to be trusted.

    Args:
        function: `module:name` below `edgevit.steps`.
        writable: existing folders that the step writes to.
        data_only: the step does not load the model, only files that were made of it or given to be judged.
        foreign: it executes files that were not made here: all of its time counts against its limit.
        alone: it is never forked: what it measures must not depend on the libraries that a server has loaded.
    """
    sandbox = None
    if data_only or _isolated(recipe.model):
        sandbox = Sandbox(tuple(str(folder.absolute()) for folder in writable))
    limits = limits_of(recipe, threads, sandbox)
    name = f"edgevit.steps.{function}"
    return worker.Job(step, name, to_plain(request), limits, on_event, patient=not foreign, forked=not alone)


def run(one: worker.Job, kind: type[Result]) -> Result:
    """Run one step alone, which gives a `kind`."""
    return from_plain(kind, worker.run_job(one), one.step)


def limits_of(recipe: Recipe, threads: int, sandbox: Sandbox | None) -> worker.ProcessLimits:
    """What one step of this recipe may use."""
    return worker.ProcessLimits(recipe.timeout, int(recipe.max_memory * 2**30), threads, sandbox)


def on_file(
    step: str, function: str, request: DataclassInstance, path: Path, recipe: Recipe, threads: int = 0
) -> worker.Job:
    """One step that reads or executes a converted file and does nothing else, in a sandbox.

    Args:
        request: without paths, which a worker would not find: those in it are absolute.
        path: the file as the user named it.
    """
    limits = limits_of(recipe, threads, Sandbox())
    return worker.Job(step, f"edgevit.steps.{function}", to_plain(request), limits, file=str(path))


def _isolated(model: str) -> bool:
    """Whether loading `model` neither runs the user's own code nor may download anything."""
    source, argument = parse_source(model, SOURCES.names())
    isolated = SOURCES.get(source).isolated
    return isolated is not None and isolated(argument)


def parallel(recipe: Recipe) -> int:
    """How many steps run side by side."""
    return recipe.jobs or usable_cores()


def threads_each(recipe: Recipe, steps: int) -> int:
    """Threads for each of `steps` that run side by side, so that they do not fight for the cores."""
    return recipe.threads or max(1, usable_cores() // max(1, min(parallel(recipe), steps)))


def stages(progress: Progress) -> Emit:
    """Show the stages of one step, and what it warns of, as they come."""

    def show(event: Event) -> None:
        if isinstance(event, Stage):
            progress.stage(event.name, event.total)
        elif isinstance(event, Advance):
            progress.advance(event.steps)
        elif isinstance(event, Warn):
            progress.warn(event.text)

    return show


def steps_done(progress: Progress) -> Emit:
    """Advance a stage that is already shown, by the steps of all jobs together."""

    def show(event: Event) -> None:
        if isinstance(event, Advance):
            progress.advance(event.steps)

    return show


def files_done(progress: Progress) -> Emit:
    """Advance a stage that is already shown, by one for each file."""

    def show(event: Event) -> None:
        if isinstance(event, FileDone):
            progress.advance()

    return show


def tell_traces(files: Iterable[Built | Executed], doing: str, progress: Progress) -> None:
    """Where the failures of a step were raised: their rows in the report have the messages alone."""
    for file in files:
        if file.trace:
            progress.trace(f"{doing} {file.target} {file.precision}:\n{file.trace.rstrip()}")


def silent(event: Event) -> None:
    """Show nothing."""
