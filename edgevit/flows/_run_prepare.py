"""Run the preparing step, which several flows begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgevit.core.cache.memory import Memory
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.precisions import Precision
from edgevit.core.progress import Progress
from edgevit.flows import _jobs
from edgevit.flows._remember import OfPrepare, of_steps
from edgevit.registries import TARGETS
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.resolve import Work


def prepare(work: Work, folder: Path, progress: Progress, memory: Memory) -> Prepared:
    """Load, prune, export, calibrate, plan and simulate, in a worker; files go to `folder`."""
    recipe = work.recipe
    step = f"preparing {recipe.model}"
    request = replace(request_of(work, folder), memory=of_steps(memory, recipe))
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
        _jobs.stages(progress),
        writable,
    )
    prepared = _jobs.run(job, Prepared)
    memory.hits.extend(prepared.recalled)
    kept.keep(replace(prepared, recalled=()))
    return prepared


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
