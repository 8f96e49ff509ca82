"""From what the steps measured to the report: arithmetic only, nothing is run here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.disk.artifact import artifact_sha256, artifact_size
from edgevit.core.outputs import OutputKind
from edgevit.core.plugins import Timing
from edgevit.core.precisions import Precision, Variant
from edgevit.core.results.report import (
    ArtifactReport,
    Fidelity,
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
    Total,
)
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._environment import environment
from edgevit.flows._heads import head_accuracies
from edgevit.registries import TARGETS
from edgevit.steps import messages, named_outputs
from edgevit.steps.messages import Built, Executed, Prepared, SimulatedPlan
from edgevit.validate.floors import Origin
from edgevit.validate.spaces import bring, common, compared_as

if TYPE_CHECKING:
    from edgevit.core.types import Floats

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
) -> Report:
    """The whole report; `begin` is the perf_counter at the start, paths are told relative to `bundle`."""
    limits = Limits(recipe.max_drop, recipe.min_agreement, recipe.min_sqnr)
    origin = Origin(
        pruned=prepared.pruned is not None,
        random_weights=recipe.random_weights is not None,
        doubts=prepared.doubts,
    )
    sizes = {name: artifact_size(Path(b.path)) for name, b in fp32.items() if b.path is not None}
    artifacts = tuple(
        artifact_report(
            work,
            prepared,
            b,
            executed.get(b.variant),
            timings.get(b.variant),
            sizes.get(name),
            limits,
            origin,
            None if b.path is None else Path(b.path).relative_to(bundle).as_posix(),
        )
        for name, made in files_of.items()
        for b in made
    )
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
        artifacts=artifacts,
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
    )
    if executed is not None and not error:
        found = _with_execution(found, work, prepared, executed, simulated)
    if timings is not None:
        found = replace(found, latency=_latency(*timings, of_itself=built.precision is Precision.FP32))
    found = with_verdict(found, limits, replace(origin, planned=simulated is not None))
    differs = executed.other_pixels if executed is not None else ""
    return replace(found, notes=(*notes(found), *((differs,) if differs else ())))


def _with_execution(
    found: ArtifactReport, work: Path, prepared: Prepared, executed: Executed, simulated: SimulatedPlan | None
) -> ArtifactReport:
    import numpy as np

    from edgevit.validate.accuracy import measure_accuracy

    assert executed.outputs is not None
    reference = named_outputs.load(work / messages.REFERENCE)
    actual = named_outputs.load(work / executed.outputs)
    labels = np.load(work / messages.LABELS) if prepared.labelled else None
    if simulated is not None:
        promised = named_outputs.load(work / simulated.outputs)
    else:
        promised = named_outputs.load(work / prepared.base)
    own = executed.output or prepared.output_kind
    kind = common(prepared.output_kind, own)
    if kind is not None:
        reference = _brought(reference, prepared.output_kind, kind)
        promised = _brought(promised, prepared.output_kind, kind)
        actual = _brought(actual, own, kind)
    kind = kind or prepared.output_kind
    n = len(named_outputs.first(promised))
    found_here = named_outputs.head(actual, n)
    worst = min(executed.sites, key=lambda site: site.db, default=None)
    integer = executed.integer
    fraction = None
    if integer is not None:
        counted = integer.static + (integer.dynamic if found.precision.activations == "dynamic" else 0)
        fraction = counted / prepared.macs if prepared.macs else 0.0
    accuracy = None
    if prepared.evaluate is not None and kind.decides:
        accuracy = measure_accuracy(named_outputs.first(reference), named_outputs.first(actual), labels, kind)
    return replace(
        found,
        executed_by=executed.executed_by,
        integer_mac_fraction=fraction,
        integer_mac_source=integer.source if integer is not None else None,
        weight_bytes=executed.weight_bytes,
        operators=executed.operators,
        max_rank=executed.max_rank,
        fidelity=Fidelity(
            sqnr_db=named_outputs.worst("sqnr", promised, found_here),
            cosine=named_outputs.worst("cosine", promised, found_here),
            max_abs=named_outputs.worst("max_abs", promised, found_here),
            n=n,
            floor_db=simulated.floor_db if simulated is not None else None,
            site_min_db=worst.db if worst is not None else None,
            site_min=worst.site if worst is not None else None,
        ),
        total=Total(
            sqnr_db=named_outputs.worst("sqnr", named_outputs.head(reference, n), found_here),
            cosine=named_outputs.worst("cosine", named_outputs.head(reference, n), found_here),
            variation_db=_variation(
                kind, named_outputs.first(reference)[:n], named_outputs.first(found_here)
            ),
        ),
        accuracy=accuracy,
        heads=() if prepared.evaluate is None else head_accuracies(work, prepared.spec, reference, actual),
        head=prepared.spec.outputs[0].name if prepared.spec.heads else "",
        sites=executed.sites,
        compared_as=compared_as(prepared.output_kind, own),
        explanation=executed.explanation,
        inputs=executed.takes,
        outputs=executed.gives,
        requires=executed.requires,
    )


def _brought(outputs: dict[str, Floats], own: OutputKind, wanted: OutputKind) -> dict[str, Floats]:
    """The same with the first output as `wanted` has it."""
    (name, values), *others = outputs.items()
    return {name: bring(values, own.activation, wanted), **dict(others)}


def _variation(kind: OutputKind, reference: Floats, actual: Floats) -> float | None:
    """SQNR about the reference's mean, float32 (N, ...), of a model that gives one number on more than one image."""
    if kind.task not in ("binary", "regression") or len(reference) < 2:
        return None
    mean = reference.mean(axis=0)
    return named_outputs.measure("sqnr", reference - mean, actual - mean)


def _latency(timing: Timing, fp32: Timing | None, of_itself: bool) -> Latency:
    from edgevit.validate.latency import ratio_of_medians, summarize

    return summarize(
        timing, None if fp32 is None or of_itself else ratio_of_medians(timing.runs_ms, fp32.runs_ms)
    )


def _compute(built: Built) -> Literal["float32", "float16"]:
    capabilities = TARGETS.get(built.target).capabilities(built.precision)
    if capabilities is not None:
        return capabilities.compute
    return "float16" if built.precision.weights == "float16" else "float32"
