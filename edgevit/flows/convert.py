"""A model in; ONNX, TFLite and Core ML out, each executed and held against the float reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgevit.core._plain import from_plain
from edgevit.core.cache.memory import Memory
from edgevit.core.disk import output_folder
from edgevit.core.errors import EdgevitError
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process import worker
from edgevit.core.process.forking import forking
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.report import NotDone, PeakMemory, Report
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _bundle, _jobs, _outcomes
from edgevit.flows._assemble import assemble
from edgevit.flows._compile_files import check_compilers, with_compiled
from edgevit.flows._devices.execute import execute_on_devices
from edgevit.flows._devices.sessions import check_devices
from edgevit.flows._lint_files import with_lint
from edgevit.flows._remember import OfBuild, open_memory, resumable, taken, tidy
from edgevit.flows._run_execute import execute, executing_runtime, time_files, unavailable_reason
from edgevit.flows._run_prepare import in_float16, prepare_or_less
from edgevit.registries import TARGETS
from edgevit.steps import messages
from edgevit.steps.messages import BuildRequest, Built, BuiltAll, Prepared
from edgevit.steps.resolve import Work, resolve
from edgevit.steps.size_limits import narrow, require_room
from edgevit.steps.undecidable_limits import check_limits


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
    check_limits(work.recipe)
    check_compilers(work.recipe.compile, {TARGETS.get(name).suffix for name in work.pairs})
    output_folder.check_output(work.output, recipe.overwrite)
    check_devices(recipe.device, told)
    memory, asked_for = open_memory(work.recipe, told), work.pairs
    begin = time.perf_counter()
    with (
        resumable(memory, told),
        forking(),
        scratch(WORK) as folder,
        output_folder.staged_beside(work.output) as bundle,
    ):
        prepared, work, lost = prepare_or_less(work, folder, told, memory)
        work = narrow(work, prepared.left_out)
        require_room(work, prepared.spec, folder)
        made_by = _build(work, prepared, folder, bundle, told, memory)
        built = _with_lost({name: made.files for name, made in made_by.items()}, lost)
        peak = PeakMemory(
            prepared.peak_bytes,
            {name: made.peak_bytes for name, made in made_by.items() if made.peak_bytes is not None},
        )
        fp32 = {
            name: b for name, made in built.items() for b in made if b.precision is Precision.FP32 and b.path
        }
        asked = {
            name: tuple(b for b in made if b.precision in asked_for[name]) for name, made in built.items()
        }
        executed = execute(asked, fp32, prepared, work.recipe, folder, told, memory)
        good = {
            name: tuple(b for b in made if b.variant in executed and executed[b.variant].outputs)
            for name, made in asked.items()
        }
        timings = time_files(good, fp32, prepared.spec.preprocess, work.recipe, folder, told)
        devices = execute_on_devices(good, executed, work.recipe, folder, prepared.spec.preprocess, told)
        told.stage("writing the report")
        missing = [
            NotDone(f"executing {n}", unavailable_reason(n, backend))
            for n, backend in work.backends.items()
            if executing_runtime(n, backend) is None
        ]
        report = assemble(
            prepared,
            asked,
            executed,
            timings,
            fp32,
            work.recipe,
            folder,
            bundle,
            (*work.not_done, *missing),
            peak,
            begin,
            devices,
        )
        if found := taken(memory):
            text = f"taken from the cache, with the seconds that they took when they were made: {found}"
            report = replace(report, notes=(*report.notes, text))
        report = with_lint(report, bundle, work.recipe, told)
        report = with_compiled(report, bundle, work.recipe, told)
        report = replace(report, outcomes=_outcomes.write(bundle, prepared, executed, folder, devices))
        _bundle.write(bundle, report, work.recipe, prepared.spec, folder / messages.PLANS)
        place = _bundle.swap_in(bundle, report, work.output, work.recipe.overwrite, told)
        tidy(memory, told)
    return replace(report, folder=place.absolute())


def _with_lost(
    built: Mapping[str, tuple[Built, ...]], lost: Mapping[Variant, str]
) -> dict[str, tuple[Built, ...]]:
    """The files of each target, and those that have no plan with the reason."""
    found = dict(built)
    for variant, reason in lost.items():
        missing = Built(variant.target, variant.precision, 0.0, error=reason)
        found[variant.target] = (*found.get(variant.target, ()), missing)
    return found


def _build(
    work: Work, prepared: Prepared, folder: Path, bundle: Path, progress: Progress, memory: Memory
) -> dict[str, BuiltAll]:
    """Target -> its files, those that the cache has and those that are made.

    The fp32 file is among them even if nobody asked for it: the others are held against it.
    """
    graphs = {s.variant: s.graph for s in prepared.simulated}
    threads = _jobs.threads_each(work.recipe, len(work.pairs))
    jobs, todo = [], []
    known: dict[str, dict[Precision, Built]] = {}
    precisions_of: dict[str, tuple[Precision, ...]] = {}
    for name, asked in work.pairs.items():
        precisions = asked if Precision.FP32 in asked else (Precision.FP32, *asked)
        request = BuildRequest(
            work=str(folder),
            target=name,
            precisions=precisions,
            graphs={p: graphs.get(Variant(name, p), messages.GRAPH) for p in precisions},
            spec=prepared.spec,
            options=work.options[name],
            without=work.recipe.without,
            scan_float16=in_float16(work)[name] if prepared.keep_float32 else (),
            folders={p: str((bundle if p in asked else folder) / name / p) for p in precisions},
        )
        kept = OfBuild(memory, request, prepared)
        known[name], precisions_of[name] = kept.find(), precisions
        missing = tuple(p for p in precisions if p not in known[name])
        if not missing:
            continue
        request = replace(request, precisions=missing)
        told = _jobs.files_done(progress)
        step = f"converting to {name}"
        jobs.append(_jobs.job(step, "build:build", request, work.recipe, threads, told, [folder, bundle]))
        todo.append((name, missing, kept))
    if todo:
        progress.stage("converting", sum(len(missing) for _, missing, _ in todo))
    built = {}
    for (name, missing, kept), result in zip(
        todo, worker.run_many(jobs, _jobs.parallel(work.recipe)), strict=True
    ):
        if isinstance(result, EdgevitError):
            trace = worker.trace_of(result)
            failed = tuple(Built(name, p, 0.0, error=result.message) for p in missing)
            built[name] = BuiltAll((replace(failed[0], trace=trace), *failed[1:]))
        else:
            built[name] = from_plain(BuiltAll, result, f"converting to {name}")
        for made in built[name].files:
            kept.keep(made)
        _jobs.tell_traces(built[name].files, "converting to", progress)
    return {
        name: _together(precisions, known[name], built.get(name))
        for name, precisions in precisions_of.items()
    }


def _together(
    precisions: tuple[Precision, ...], known: Mapping[Precision, Built], made: BuiltAll | None
) -> BuiltAll:
    """All files of a target in the order that was asked for."""
    every = {**known, **{built.precision: built for built in (made.files if made is not None else ())}}
    return BuiltAll(tuple(every[p] for p in precisions), None if made is None else made.peak_bytes)
