"""From what the steps measured to the report: arithmetic only, nothing is run here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.disk.artifact import artifact_sha256, artifact_size
from edgevit.core.plugins import Timing
from edgevit.core.precisions import Precision, Variant
from edgevit.core.results.report import (
    ArtifactReport,
    HeadSummary,
    Latency,
    Limits,
    ModelSummary,
    NotDone,
    PeakMemory,
    Reference,
    Report,
    SampleSets,
    Timings,
)
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._devices.columns import add_devices
from edgevit.flows._devices.execute import OneDevice
from edgevit.flows._environment import environment
from edgevit.flows._with_execution import with_execution
from edgevit.registries import TARGETS
from edgevit.steps import messages, named_outputs
from edgevit.steps.messages import Built, Executed, Prepared
from edgevit.validate.floors import Origin

if TYPE_CHECKING:
    pass

# Sites in the report, of those that cost most alone; `edgevit quantize` tells them all.
WORST: Final = 20
RANDOM_WEIGHTS: Final = (
    "the weights are random, so that top-1 says nothing; the verdicts rest on the other checks"
)


def assemble(
    prepared: Prepared,
    files_of: Mapping[str, tuple[Built, ...]],
    executed: Mapping[Variant, Executed],
    timings: Mapping[Variant, tuple[Timing, Timing | None]],
    fp32: Mapping[str, Built],
    recipe: Recipe,
    work: Path,
    bundle: Path,
    not_done: tuple[NotDone, ...],
    memory: PeakMemory,
    begin: float,
    devices: Sequence[OneDevice] = (),
) -> Report:
    """The whole report; `begin` is the perf_counter at the start, paths are told relative to `bundle`."""
    limits = Limits(recipe.max_drop, recipe.min_agreement, recipe.min_sqnr)
    origin = Origin(
        pruned=prepared.pruned is not None,
        random_weights=recipe.random_weights is not None,
        doubts=prepared.doubts,
    )
    sizes = {name: artifact_size(Path(b.path)) for name, b in fp32.items() if b.path is not None}
    artifacts = []
    for name, made in files_of.items():
        for b in made:
            here = executed.get(b.variant)
            path = None if b.path is None else Path(b.path).relative_to(bundle).as_posix()
            judged = artifact_report(
                work, prepared, b, here, timings.get(b.variant), sizes.get(name), limits, origin, path
            )
            artifacts.append(add_devices(judged, devices, work, prepared, here, limits))
    spec, seconds = prepared.spec, prepared.timings_s
    reference = _reference(prepared, work)
    random = recipe.random_weights is not None and reference.top1 is not None
    return Report(
        model=ModelSummary(
            name=spec.name,
            source=spec.source,
            parameters=spec.parameters,
            macs=prepared.macs,
            weights_sha256=spec.weights_sha256,
            preprocess=spec.preprocess,
            labels=len(spec.labels),
            output=spec.output,
            output_name=spec.outputs[0].name,
            heads=tuple(
                HeadSummary(name, len(head.labels), head.output) for name, head in spec.heads.items()
            ),
            preprocess_origin=spec.preprocess_origin,
            weights_origin=spec.weights_origin,
        ),
        samples=SampleSets(prepared.calibrate, prepared.evaluate),
        reference=reference,
        artifacts=tuple(artifacts),
        timings_s=Timings(
            load=seconds["load"],
            export=seconds["export"],
            calibrate=seconds["calibrate"],
            quantize=seconds["quantize"],
            convert={name: sum(b.seconds for b in made) for name, made in files_of.items()},
            validate={str(variant): done.seconds for variant, done in executed.items()},
            total=time.perf_counter() - begin,
        ),
        environment=replace(environment(), isolation=prepared.isolation),
        limits=limits,
        prune=prepared.prune,
        rewrites=prepared.rewrites,
        not_done=not_done,
        warnings=(*prepared.warnings, *((RANDOM_WEIGHTS,) if random else ())),
        notes=prepared.notes,
        peak_memory_bytes=memory,
        devices=tuple(one.device for one in devices if one.device is not None),
    )


def _reference(prepared: Prepared, work: Path) -> Reference:
    import numpy as np

    from edgevit.validate.accuracy import measure_reference

    outputs = named_outputs.first(named_outputs.load(work / messages.REFERENCE))
    labelled = prepared.labelled and prepared.evaluate is not None
    labels = np.load(work / messages.LABELS) if labelled else None
    measured = measure_reference(outputs, labels, prepared.output_kind)
    return replace(measured, doubts=prepared.doubts, other_resize=prepared.other_resize)


def artifact_report(
    work: Path,
    prepared: Prepared,
    built: Built,
    executed: Executed | None,
    timings: tuple[Timing, Timing | None] | None,
    fp32_size: int | None,
    limits: Limits,
    origin: Origin,
    relative_path: str | None,
) -> ArtifactReport:
    """Everything about one file, judged.

    Args:
        executed: None if no runtime here executes it.
        timings: of the file and of its fp32 file, interleaved; None where they say nothing.
        origin: how it came to be, but for `planned`.
        relative_path: in the bundle.
    """
    from edgevit.validate.notes import notes
    from edgevit.validate.verdict import with_verdict

    error = built.error or (executed.error if executed is not None else None)
    simulated = next((s for s in prepared.simulated if s.variant == built.variant), None)
    path = None if built.path is None or error else Path(built.path)
    found = ArtifactReport(
        target=built.target,
        precision=built.precision,
        verdict="error" if error else "not-executed",
        reasons=(error,) if error else (),
        path=relative_path if path is not None else None,
        planned_mac_fraction=(
            None if simulated is None or not prepared.macs else simulated.integer_macs / prepared.macs
        ),
        size_bytes=None if path is None else artifact_size(path),
        sha256=None if path is None else artifact_sha256(path),
        compression=simulated.compression if simulated is not None else prepared.pruned,
        compute=_compute(built),
        float32_kept=built.float32 if TARGETS.get(built.target).half == "computed" else (),
        float16_unsafe=built.float32 if TARGETS.get(built.target).half == "stored" else (),
        fp32_size_bytes=fp32_size,
        sensitivity=() if simulated is None else simulated.sensitivity[:WORST],
        auto_float=None if simulated is None else simulated.auto_float,
        reconstruction=None if simulated is None else simulated.reconstruction,
        ranges=None if simulated is None else simulated.ranges,
        backend=built.backend,
    )
    if executed is not None and executed.refused:
        found = replace(found, refused=executed.refused)
    elif executed is not None and not error:
        found = with_execution(found, work, prepared, executed, simulated)
    if timings is not None:
        found = replace(found, latency=_latency(*timings, of_itself=built.precision is Precision.FP32))
    found = with_verdict(found, limits, replace(origin, planned=simulated is not None))
    further = (
        executed.other_pixels if executed is not None else "",
        TARGETS.get(built.target).half_elsewhere if built.precision is Precision.FP16 and not error else "",
    )
    return replace(found, notes=(*notes(found), *(note for note in further if note)))


def _latency(timing: Timing, fp32: Timing | None, of_itself: bool) -> Latency:
    from edgevit.validate.latency import ratio_of_medians, summarize

    return summarize(
        timing, None if fp32 is None or of_itself else ratio_of_medians(timing.runs_ms, fp32.runs_ms)
    )


def _compute(built: Built) -> Literal["float32", "float16"]:
    options = {"backend": built.backend} if built.backend else {}
    capabilities = TARGETS.get(built.target).capabilities(built.precision, options)
    if capabilities is not None:
        return capabilities.compute
    return "float16" if built.precision.weights == "float16" else "float32"
