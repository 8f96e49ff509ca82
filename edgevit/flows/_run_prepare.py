"""Run the preparing step, which several flows begin with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from edgevit.core.cache.memory import Memory
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import StepError
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process.worker import trace_of
from edgevit.core.progress import Emit, Event, FileDone, Progress
from edgevit.flows import _jobs
from edgevit.flows._remember import OfPrepare
from edgevit.registries import TARGETS
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.resolve import Work


def prepare(
    work: Work, folder: Path, progress: Progress, memory: Memory, done: set[tuple[str, str]] | None = None
) -> Prepared:
    """Load, prune, export, calibrate, plan and simulate, in a worker; files go to `folder`.

    Args:
        done: gets the files whose plans are there, also where the step then fails.
    """
    recipe = work.recipe
    step = f"preparing {recipe.model}"
    request = replace(request_of(work, folder), memory=memory.remembered)
    kept = OfPrepare(memory, request)
    known = kept.find()
    if known is not None:
        return known
    writable = [folder, Path(request.memory.folder)] if request.memory.folder else [folder]
    job = _jobs.job(
        step,
        "prepare:prepare",
        request,
        recipe,
        _jobs.threads_each(recipe, 1),
        _also(_jobs.stages(progress), set() if done is None else done),
        writable,
    )
    prepared = _jobs.run(job, Prepared)
    memory.hits.extend(prepared.recalled)
    kept.keep(replace(prepared, recalled=()))
    return prepared


def prepare_or_less(
    work: Work, folder: Path, progress: Progress, memory: Memory
) -> tuple[Prepared, Work, dict[Variant, str]]:
    """`prepare`; where a plan cannot be made, without it: the others and what needs no plan are not lost.

    Returns:
        What was prepared, for which of the files, and why each of the others cannot be made.

    Raises:
        EdgevitError: nothing would be left, or what fails is not the plans.
    """
    done: set[tuple[str, str]] = set()
    try:
        return prepare(work, folder, progress, memory, done), work, {}
    except StepError as error:
        missing = [Variant(b.target, b.precision) for b in backends(work)]
        missing = [variant for variant in missing if (variant.target, variant.precision.value) not in done]
        lost = dict.fromkeys(missing, f"its plan could not be made: {error.message}")
        pairs = {t: tuple(p for p in ps if Variant(t, p) not in lost) for t, ps in work.pairs.items()}
        less = replace(work, pairs={target: left for target, left in pairs.items() if left})
        if not lost or not less.pairs or work.recipe.plan is not None:
            raise
        names = ", ".join(str(variant) for variant in lost)
        progress.warn(f"{error.message}; going on without {names}")
        progress.trace(f"{names}:\n{trace_of(error)}")
        for path in folder.iterdir():
            if not path.name.startswith("."):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return prepare(less, folder, progress, memory), less, lost


def request_of(work: Work, folder: Path) -> PrepareRequest:
    """What the worker is asked for, with what all targets can do and hold.

    Raises:
        UnsupportedError: a system that is too old for a precision.
    """
    half = any(in_float16(work)[name] for name in work.pairs)
    limits = {name: TARGETS.get(name).float_limit_bytes for name in work.pairs}
    return PrepareRequest(
        work=str(folder),
        recipe=work.recipe,
        backends=backends(work),
        scan_float16=half,
        float_limits=limits,
    )


def _also(show: Emit, done: set[tuple[str, str]]) -> Emit:
    """Show what happens, and remember which plans are there."""

    def told(event: Event) -> None:
        if isinstance(event, FileDone):
            done.add((event.target, event.precision))
        show(event)

    return told


def in_float16(work: Work) -> dict[str, tuple[Precision, ...]]:
    """Target -> those of its precisions whose files hold or compute float16."""
    return {t: tuple(p for p in found if _is_half(t, p)) for t, found in work.pairs.items()}


def _is_half(target: str, precision: Precision) -> bool:
    capabilities = TARGETS.get(target).capabilities(precision)
    return precision.weights == "float16" if capabilities is None else capabilities.compute == "float16"


def backends(work: Work) -> tuple[BackendCapabilities, ...]:
    """What the runtimes can do, for every pair that is quantized; without the folds that `--without` names."""
    found = (
        TARGETS.get(t).capabilities(p, work.options[t])
        for t, precisions in work.pairs.items()
        for p in precisions
    )
    off = work.recipe.without
    return tuple(replace(p, folds=tuple(n for n in p.folds if n not in off)) for p in found if p is not None)
