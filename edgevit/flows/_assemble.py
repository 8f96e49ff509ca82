"""From what the steps measured to the report: arithmetic only, nothing is run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core import files
from edgevit.core.report import (
    ArtifactReport,
    Fidelity,
    Latency,
    Limits,
    Total,
)
from edgevit.core.types import Timing
from edgevit.flows import _values
from edgevit.flows._values import Built, Executed, Prepared, SimulatedPlan
from edgevit.registries import METRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def artifact_report(
    work: Path,
    prepared: Prepared,
    built: Built,
    executed: Executed | None,
    timings: tuple[Timing, Timing] | None,
    fp32_size: int | None,
    limits: Limits,
    relative_path: str | None,
) -> ArtifactReport:
    """Everything about one file, judged.

    Args:
        executed: None if no runtime here executes it.
        timings: of the file and of its fp32 file, interleaved; None where they say nothing.
        relative_path: in the bundle.
    """
    from edgevit.validate.gate import judged
    from edgevit.validate.notes import notes

    error = built.error or (executed.error if executed is not None else None)
    simulated = next(
        (s for s in prepared.simulated if (s.target, s.precision) == (built.target, built.precision)), None
    )
    path = None if built.path is None else Path(built.path)
    found = ArtifactReport(
        target=built.target,
        precision=built.precision,
        verdict="error" if error else "not-executed",
        reasons=(error,) if error else (),
        path=relative_path if path is not None else None,
        size_bytes=None if path is None else files.size_of(path),
        sha256=None if path is None else files.sha256_of(path),
        compression=simulated.compression if simulated is not None else prepared.pruned,
        compute=_compute(built),
        fp32_size_bytes=fp32_size,
    )
    if executed is not None and not error:
        found = _with_execution(found, work, prepared, executed, simulated)
    if timings is not None:
        found = replace(found, latency=_latency(*timings, of_itself=built.precision == "fp32"))
    found = judged(found, limits)
    return replace(found, notes=notes(found))


def _with_execution(
    found: ArtifactReport, work: Path, prepared: Prepared, executed: Executed, simulated: SimulatedPlan | None
) -> ArtifactReport:
    import numpy as np

    from edgevit.validate.accuracy import measure_accuracy

    assert executed.outputs is not None
    reference = np.load(work / _values.REFERENCE)
    actual = np.load(work / executed.outputs)
    labels = np.load(work / _values.LABELS) if prepared.labelled else None
    if simulated is not None:
        promised = np.load(work / simulated.outputs)
    else:
        promised = np.load(work / prepared.base)
    n = len(promised)
    worst = min(executed.sites, key=lambda site: site.db, default=None)
    integer = executed.integer
    fraction = None
    if integer is not None:
        counted = integer.static + (integer.dynamic if found.precision == "w8da8" else 0)
        fraction = counted / prepared.macs if prepared.macs else 0.0
    is_classifier = reference.ndim == 2
    return replace(
        found,
        executed_by=executed.executed_by,
        integer_mac_fraction=fraction,
        integer_mac_source=integer.source if integer is not None else None,
        weight_bytes=executed.weight_bytes,
        fidelity=Fidelity(
            sqnr_db=_metric("sqnr", promised, actual[:n]),
            cosine=_metric("cosine", promised, actual[:n]),
            max_abs=_metric("max_abs", promised, actual[:n]),
            n=n,
            floor_db=simulated.floor_db if simulated is not None else None,
            site_min_db=worst.db if worst is not None else None,
            site_min=worst.site if worst is not None else None,
        ),
        total=Total(_metric("sqnr", reference[:n], actual[:n]), _metric("cosine", reference[:n], actual[:n])),
        accuracy=measure_accuracy(reference, actual, labels) if is_classifier and prepared.evaluate else None,
        sites=executed.sites,
    )


def _latency(timing: Timing, fp32: Timing, of_itself: bool) -> Latency:
    from edgevit.validate.latency import ratio_of_medians, summarize

    return summarize(timing, None if of_itself else ratio_of_medians(timing.runs_ms, fp32.runs_ms))


def _metric(name: str, reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> float:
    rows: tuple[Any, Any] = (reference.reshape(len(reference), -1), candidate.reshape(len(candidate), -1))
    return float(METRICS.get(name).compute(*rows, None))


def _compute(built: Built) -> Any:
    from edgevit.registries import TARGETS

    placement = TARGETS.get(built.target).placement(built.precision)
    if placement is not None:
        return placement.compute
    return "float16" if built.precision == "fp16" else "float32"

