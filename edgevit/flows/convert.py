"""A model in; ONNX, TFLite and Core ML out, each executed and held against the float reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from edgevit.core import files, worker
from edgevit.core._plain import from_plain
from edgevit.core.errors import EdgevitError, StepError
from edgevit.core.progress import Progress, Silent
from edgevit.core.recipe import Recipe
from edgevit.core.report import (
    ArtifactReport,
    Limits,
    ModelSummary,
    NotDone,
    Reference,
    Report,
    SampleSets,
    Timings,
)
from edgevit.core.types import Placement, Timing
from edgevit.flows import _bundle, _jobs, _values
from edgevit.flows._assemble import artifact_report
from edgevit.flows._environment import environment
from edgevit.flows._values import (
    BuildRequest,
    Built,
    BuiltAll,
    Executed,
    ExecutedAll,
    ExecuteRequest,
    Prepared,
    PrepareRequest,
    Timed,
    TimeRequest,
)
from edgevit.flows.resolve import Work, resolve
from edgevit.registries import RUNTIMES, TARGETS

FP32 = "fp32"
TIMED_RUNS = 40
_SAMPLES = {"demo": ("demo:calibration", "demo:evaluation")}


def convert(recipe: Recipe, progress: Progress | None = None) -> Report:
    """Do what `recipe` says and write the bundle.

    The bundle is built beside its folder and swapped in whole, also when a check failed. If a file
    could not be made or executed and an earlier bundle stands there, that one is kept, and the new,
    incomplete one goes to FOLDER.incomplete.

    Raises:
        UsageError, InputError: before anything was written.
        EdgevitError: the model could not be loaded, exported or calibrated.
    """
    told = progress or Silent()
    work = resolve(recipe)
    files.check_output(work.output, recipe.overwrite)
    begin = time.perf_counter()
    with TemporaryDirectory(prefix="edgevit-work-") as scratch, files.staged_beside(work.output) as bundle:
        folder = Path(scratch)
        prepared = prepare(work, folder, told)
        built = _build(work, prepared, folder, bundle, told)
        runtimes = {name: executing_runtime(name) for name in work.pairs}
        executed = _execute(work, prepared, built, runtimes, folder, told)
        timings = _time(work, built, executed, runtimes, folder, told)
        told.stage("writing the report")
        report = _report(work, prepared, built, executed, timings, runtimes, folder, bundle, begin)
        _bundle.write(bundle, report, work.recipe, prepared.spec, folder / _values.PLANS)
        _bundle.swap_in(bundle, report, work.output, told)
    return report


def prepare(work: Work, folder: Path, progress: Progress) -> Prepared:
    """Load, prune, export, calibrate, plan and simulate, in a worker; files go to `folder`."""
    recipe = work.recipe
    calibrate, evaluate = (_split(text, index) for index, text in enumerate((recipe.calibrate, recipe.evaluate)))
    request = PrepareRequest(
        work=str(folder),
        model=recipe.model,
        weights=None if recipe.weights is None else str(recipe.weights.absolute()),
        random_weights=recipe.random_weights,
        num_classes=recipe.num_classes,
        image_size=recipe.image_size,
        model_args=dict(recipe.model_arg or {}),
        preprocess=dict(recipe.preprocess or {}),
        labels=None if recipe.labels is None else str(recipe.labels.absolute()),
        calibrate=calibrate,
        calibration_count=recipe.calibration_count,
        evaluate=evaluate,
        evaluate_count=recipe.evaluate_count,
        skip_bad_images=recipe.skip_bad_images,
        prune=recipe.prune,
        without=recipe.without,
        placements=placements(work),
    )
    step = f"preparing {recipe.model}"
    job = _jobs.job(step, "_prepare:prepare", request, recipe, recipe.threads, _jobs.stages(progress))
    return from_plain(Prepared, _jobs.run(job), step)


def placements(work: Work) -> tuple[Placement, ...]:
    """What the runtimes can do, for every pair that is quantized."""
    found = (TARGETS.get(t).placement(p) for t, precisions in work.pairs.items() for p in precisions)
    return tuple(placement for placement in found if placement is not None)


def executing_runtime(target: str) -> str | None:
    """The first runtime of a target that works on this machine."""
    return next((n for n in TARGETS.get(target).runtimes if RUNTIMES.get(n).unavailable() is None), None)


def _build(
    work: Work, prepared: Prepared, folder: Path, bundle: Path, progress: Progress
) -> dict[str, tuple[Built, ...]]:
    """Target -> its files. The fp32 file is made even if nobody asked for it: the others are held against it."""
    graphs = {(s.target, s.precision): s.graph for s in prepared.simulated}
    threads = _jobs.threads_each(work.recipe, len(work.pairs))
    jobs, todo = [], []
    for name, asked in work.pairs.items():
        precisions = asked if FP32 in asked else (FP32, *asked)
        request = BuildRequest(
            work=str(folder),
            target=name,
            precisions=precisions,
            graphs={p: graphs.get((name, p), _values.GRAPH) for p in precisions},
            spec=prepared.spec,
            options=work.options[name],
            folders={p: str((bundle if p in asked else folder) / name / p) for p in precisions},
        )
        told = _jobs.counting(progress, "built")
        jobs.append(_jobs.job(f"converting to {name}", "_build:build", request, work.recipe, threads, told))
        todo.append((name, precisions))
    progress.stage("converting", sum(len(precisions) for _, precisions in todo))
    built = {}
    for (name, precisions), result in zip(todo, worker.run_many(jobs, _jobs.parallel(work.recipe)), strict=True):
        if isinstance(result, EdgevitError):
            built[name] = tuple(Built(name, p, 0.0, error=result.message) for p in precisions)
        else:
            built[name] = from_plain(BuiltAll, result, f"converting to {name}").files
    return built


def _execute(
    work: Work,
    prepared: Prepared,
    built: Mapping[str, tuple[Built, ...]],
    runtimes: Mapping[str, str | None],
    folder: Path,
    progress: Progress,
) -> dict[tuple[str, str], Executed]:
    """(target, precision) -> what its execution gave; nothing for targets without a runtime here."""
    graphs = {(s.target, s.precision): s.graph for s in prepared.simulated}
    threads = _jobs.threads_each(work.recipe, len(built))
    jobs, asked = [], []
    for name, made in built.items():
        runtime = runtimes[name]
        todo = tuple(b for b in made if b.error is None and b.precision in work.pairs[name])
        if runtime is None or not todo:
            continue
        request = ExecuteRequest(
            work=str(folder),
            runtime=runtime,
            threads=threads,
            files=todo,
            graphs={b.precision: graphs[name, b.precision] for b in todo if (name, b.precision) in graphs},
            fp32=next((b for b in made if b.precision == FP32 and b.error is None), None),
        )
        asked.append(todo)
        step, told = f"executing {name} with {runtime}", _jobs.counting(progress, "advance")
        jobs.append(_jobs.job(step, "_execute:execute", request, work.recipe, threads, told))
    progress.stage("executing every file", prepared.images * sum(map(len, asked)))
    executed = {}
    for job, todo, result in zip(jobs, asked, worker.run_many(jobs, _jobs.parallel(work.recipe)), strict=True):
        if isinstance(result, EdgevitError):
            done: tuple[Executed, ...] = tuple(
                Executed(b.target, b.precision, 0.0, error=result.message) for b in todo
            )
        else:
            done = from_plain(ExecutedAll, result, job.step).files
        executed.update({(d.target, d.precision): d for d in done})
    return executed


def _time(
    work: Work,
    built: Mapping[str, tuple[Built, ...]],
    executed: Mapping[tuple[str, str], Executed],
    runtimes: Mapping[str, str | None],
    folder: Path,
    progress: Progress,
) -> dict[tuple[str, str], tuple[Timing, Timing]]:
    """(target, precision) -> its timing and that of the fp32 file beside it; one target after the other."""
    timings: dict[tuple[str, str], tuple[Timing, Timing]] = {}
    for name, made in built.items():
        runtime = runtimes[name]
        if runtime is None or not RUNTIMES.get(runtime).has_latency:
            continue
        fp32 = next((b for b in made if b.precision == FP32 and b.error is None), None)
        good = [b for b in made if b.precision != FP32 and (name, b.precision) in executed]
        good = [b for b in good if executed[name, b.precision].error is None]
        if fp32 is None or fp32.path is None or not (good or FP32 in work.pairs[name]):
            continue
        paths = (fp32.path, *(b.path for b in good if b.path is not None))
        threads = work.recipe.threads
        request = TimeRequest(
            work=str(folder), runtime=runtime, device="local", threads=threads, runs=TIMED_RUNS, paths=paths
        )
        step = f"timing {name} with {runtime}"
        progress.stage(step)
        try:
            result = _jobs.run(_jobs.job(step, "_time:measure", request, work.recipe, threads, _jobs.silent))
        except StepError as error:
            progress.note(f"{name} was not timed: {error.message}")
            continue
        first, *rest = from_plain(Timed, result, step).timings
        timings[name, FP32] = (first, first)
        timings.update({(name, b.precision): (t, first) for b, t in zip(good, rest, strict=True)})
    return timings


def _report(
    work: Work,
    prepared: Prepared,
    built: Mapping[str, tuple[Built, ...]],
    executed: Mapping[tuple[str, str], Executed],
    timings: Mapping[tuple[str, str], tuple[Timing, Timing]],
    runtimes: Mapping[str, str | None],
    folder: Path,
    bundle: Path,
    begin: float,
) -> Report:
    recipe = work.recipe
    limits = Limits(recipe.max_drop, recipe.min_agreement, recipe.min_sqnr)
    artifacts: list[ArtifactReport] = []
    for name, made in built.items():
        fp32 = next((Path(b.path) for b in made if b.precision == FP32 and b.path is not None), None)
        size = None if fp32 is None else files.size_of(fp32)
        for b in made:
            if b.precision not in work.pairs[name]:
                continue
            key = (name, b.precision)
            relative = None if b.path is None else Path(b.path).relative_to(bundle).as_posix()
            artifacts.append(
                artifact_report(
                    folder, prepared, b, executed.get(key), timings.get(key), size, limits, relative
                )
            )
    why = [NotDone(f"executing {n}", _why_not(n)) for n, runtime in runtimes.items() if runtime is None]
    spec = prepared.spec
    return Report(
        model=ModelSummary(
            name=spec.name,
            source=spec.source,
            parameters=spec.parameters,
            macs=prepared.macs,
            weights_sha256=spec.weights_sha256,
            preprocess=spec.preprocess,
            labels=len(spec.labels),
        ),
        samples=SampleSets(prepared.calibrate, prepared.evaluate),
        reference=_reference(prepared, folder),
        artifacts=tuple(artifacts),
        timings_s=Timings(
            load=prepared.timings_s["load"],
            export=prepared.timings_s["export"],
            calibrate=prepared.timings_s["calibrate"],
            quantize=prepared.timings_s["quantize"],
            convert={name: sum(b.seconds for b in made) for name, made in built.items()},
            validate={f"{t}/{p}": done.seconds for (t, p), done in executed.items()},
            total=time.perf_counter() - begin,
        ),
        environment=environment(),
        limits=limits,
        prune=prepared.prune,
        rewrites=prepared.rewrites,
        not_done=(*work.not_done, *why),
        warnings=prepared.warnings,
    )


def _reference(prepared: Prepared, folder: Path) -> Reference:
    import numpy as np

    from edgevit.validate.accuracy import measure_reference

    outputs = np.load(folder / _values.REFERENCE)
    if not prepared.labelled or prepared.evaluate is None or outputs.ndim != 2:
        return Reference(None, None, len(outputs))
    return measure_reference(outputs, np.load(folder / _values.LABELS))


def _split(text: str | None, index: int) -> str | None:
    """`demo` as calibration images is another split than `demo` as evaluation images."""
    return _SAMPLES[text][index] if text in _SAMPLES else text


def _why_not(target: str) -> str:
    names = TARGETS.get(target).runtimes
    return "; ".join(f"{n}: {RUNTIMES.get(n).unavailable()}" for n in names)
