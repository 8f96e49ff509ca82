"""Execute and time the files of all targets, in workers, one process per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgevit.core._plain import from_plain
from edgevit.core.cache.memory import Memory
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import Timing
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process import worker
from edgevit.core.progress import Progress
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import Preprocess
from edgevit.flows import _image_parts, _jobs
from edgevit.flows._remember import OfExecute
from edgevit.registries import RUNTIMES, TARGETS
from edgevit.steps.messages import (
    Built,
    Executed,
    ExecutedAll,
    ExecuteRequest,
    ImageRange,
    Prepared,
    Timed,
    TimeRequest,
)

TIMED_RUNS = 40

Files = Mapping[str, tuple[Built, ...]]


def executing_runtime(target: str, backend: str = "") -> str | None:
    """The first runtime of a target, or of one of its backends, that works on this machine."""
    names = TARGETS.get(target).runtimes_for(backend)
    return next((n for n in names if RUNTIMES.get(n).unavailable() is None), None)


def backend_of(made: Sequence[Built]) -> str:
    """What the files of a target were made for; those of one run share it."""
    return next((b.backend for b in made), "")


def unavailable_reason(target: str, backend: str = "") -> str:
    """Why no runtime of a target works here."""
    names = TARGETS.get(target).runtimes_for(backend)
    return "; ".join(f"{name}: {RUNTIMES.get(name).unavailable()}" for name in names)


def execute(
    files: Files,
    fp32: Mapping[str, Built],
    prepared: Prepared,
    recipe: Recipe,
    folder: Path,
    progress: Progress,
    memory: Memory,
    unknown: bool = False,
    fed: Preprocess | None = None,
) -> dict[Variant, Executed]:
    """What the execution of each file gave; nothing for targets without a runtime here.

    Args:
        files: target -> what to execute.
        fp32: target -> its float file, in which the sites are confirmed by value.
        unknown: they were made earlier, or by another tool.
        fed: what those get that carry no preprocessing, if it is not the model's.
    """
    graphs = {s.variant: s.graph for s in prepared.simulated}
    todo = {
        name: (executing_runtime(name, backend_of(made)), tuple(b for b in made if b.error is None))
        for name, made in files.items()
    }
    ready = {name: (runtime, made) for name, (runtime, made) in todo.items() if runtime is not None and made}
    threads = _jobs.threads_each(recipe, len(ready))
    jobs, parts = [], {}
    kept: dict[str, list[tuple[OfExecute, dict[Precision, Executed], tuple[Built, ...]]]] = {}
    steps = 0
    for name, (runtime, made) in ready.items():
        parts[name] = _image_ranges(runtime, prepared.images, recipe)
        request = ExecuteRequest(
            work=str(folder),
            runtime=runtime,
            threads=threads,
            files=made,
            float_runtime=executing_runtime(name) or runtime,
            graphs={b.precision: graphs[b.variant] for b in made if b.variant in graphs},
            fp32=fp32.get(name),
            preprocess=fed or prepared.spec.preprocess,
            reference=prepared.output_kind if unknown else None,
        )
        step, told = f"executing {name} with {runtime}", _jobs.steps_done(progress)
        kept[name] = []
        for images in parts[name]:
            of_part = replace(request, images=images)
            remembered = OfExecute(memory, of_part, prepared)
            known = remembered.find()
            missing = tuple(b for b in made if b.precision not in known)
            kept[name].append((remembered, known, missing))
            steps += images.count * len(missing)
            if missing:
                asked = replace(of_part, files=missing)
                jobs.append(
                    _jobs.job(
                        step,
                        "execute:execute",
                        asked,
                        recipe,
                        threads,
                        told,
                        [folder],
                        data_only=True,
                        foreign=unknown,
                    )
                )
    if jobs:
        progress.stage("executing every file", steps)
    executed: dict[Variant, Executed] = {}
    results = iter(worker.run_many(jobs, _jobs.parallel(recipe)))
    for name, (_, made) in ready.items():
        of_each = []
        for remembered, known, missing in kept[name]:
            fresh = _files(next(results), missing, name) if missing else ()
            for done_now in fresh:
                remembered.keep(done_now)
            every = {**known, **{one.precision: one for one in fresh}}
            of_each.append(tuple(every[b.precision] for b in made))
        done = _image_parts.join(folder, of_each)
        _jobs.tell_traces(done, "executing", progress)
        executed.update({d.variant: d for d in done})
    return executed


def _image_ranges(runtime: str, images: int, recipe: Recipe) -> tuple[ImageRange, ...]:
    """Which images each process executes; one executes all of them with a runtime that is quick."""
    if not RUNTIMES.get(runtime).emulates():
        return (ImageRange(0, images),)
    return _image_parts.split(min(images, recipe.emulated_count or images), _jobs.parallel(recipe))


def _files(result: object, made: tuple[Built, ...], name: str) -> tuple[Executed, ...]:
    """What one process gave of each file, an error of each where it gave nothing."""
    if isinstance(result, EdgevitError):
        done = tuple(Executed(b.target, b.precision, 0.0, error=result.message) for b in made)
        return (replace(done[0], trace=worker.trace_of(result)), *done[1:])
    return from_plain(ExecutedAll, result, f"executing {name}").files


def time_files(
    files: Files,
    fp32: Mapping[str, Built],
    preprocess: Preprocess,
    recipe: Recipe,
    folder: Path,
    progress: Progress,
) -> dict[Variant, tuple[Timing, Timing | None]]:
    """The timing of each file, and that of the fp32 file interleaved with it.

    One target after the other, so that nothing else runs. Targets whose runtime here has no
    latency worth telling are left out, and so is one whose timing fails, with a note.
    """
    timings: dict[Variant, tuple[Timing, Timing | None]] = {}
    for name, made in files.items():
        runtime = executing_runtime(name, backend_of(made))
        if runtime is None or not RUNTIMES.get(runtime).has_latency or not made:
            continue
        base = fp32.get(name)
        others = [b for b in made if base is None or b.path != base.path]
        order = [b for b in (base, *others) if b is not None and b.path is not None]
        request = TimeRequest(
            work=str(folder),
            runtime=runtime,
            threads=recipe.threads,
            runs=TIMED_RUNS,
            paths=tuple(b.path for b in order if b.path is not None),
            preprocess=preprocess,
        )
        step = f"timing {name} with {runtime}"
        progress.stage(step)
        try:
            result = _jobs.run(
                _jobs.job(
                    step,
                    "time_files:measure",
                    request,
                    recipe,
                    recipe.threads,
                    _jobs.silent,
                    [folder],
                    data_only=True,
                    alone=True,
                ),
                Timed,
            )
        except EdgevitError as error:
            progress.note(f"{name} was not timed: {error.message}".replace(f"{folder}/", ""))
            progress.trace(f"{step}:\n{worker.trace_of(error)}")
            continue
        found = result.timings
        first = found[0] if base is not None else None
        timings.update({b.variant: (t, first) for b, t in zip(order, found, strict=True)})
    return timings
