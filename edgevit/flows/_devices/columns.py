"""What devices executed, as columns of the report: judged as the files are here, and against what they gave here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgevit.core.outputs import OutputKind
from edgevit.core.results.report import ArtifactReport, DeviceLoss, Limits, OnDevice
from edgevit.flows._devices.execute import ExecutedThere, OneDevice
from edgevit.flows._with_execution import integer_fraction, with_execution
from edgevit.steps import named_outputs
from edgevit.steps.messages import Executed, Prepared
from edgevit.validate.on_device import judged, with_devices


def add_devices(
    artifact: ArtifactReport,
    devices: Sequence[OneDevice],
    work: Path,
    prepared: Prepared,
    here: Executed | None,
    limits: Limits,
) -> ArtifactReport:
    """The artifact with a column for each device; as it is where no device was asked for.

    Args:
        here: what its execution on this computer gave, None if nothing here executes it.
    """
    if not devices or artifact.path is None:
        return artifact
    columns = []
    for one in devices:
        if artifact.variant in one.not_for_it:
            continue
        there = one.files.get(artifact.variant, ExecutedThere(error=one.error or "it was not executed"))
        columns.append(judged(artifact, _column(artifact, one, there, work, prepared, here), limits))
    return with_devices(artifact, columns) if columns else artifact


def _column(
    artifact: ArtifactReport,
    device: OneDevice,
    there: ExecutedThere,
    work: Path,
    prepared: Prepared,
    here: Executed | None,
) -> OnDevice:
    if there.outputs is None:
        return OnDevice(device.where, "error", (there.error,))
    executed = here if here is not None and here.outputs is not None else None
    own = Executed(artifact.target, artifact.precision, 0.0) if executed is None else executed
    found = with_execution(artifact, work, prepared, replace(own, outputs=there.outputs), None)
    profile, kernels = there.profile, there.kernels
    integers = None
    if kernels is not None and any(operator.ms is not None for operator in kernels.operators):
        static = sum(operator.static_macs for operator in kernels.operators)
        dynamic = sum(operator.dynamic_macs for operator in kernels.operators)
        integers = integer_fraction(artifact, prepared, static, dynamic)
    remarks = [f"unstable times: {profile.unstable}"] if profile is not None and profile.unstable else []
    if there.untold:
        remarks.append(f"what executes its operators there is not known: {there.untold}")
    return OnDevice(
        device=device.where,
        verdict="inconclusive",
        executed_by=there.executed_by,
        total=found.total,
        accuracy=found.accuracy,
        heads=found.heads,
        loss=None
        if executed is None
        else _loss(work, executed, there.outputs, own.output or prepared.output_kind),
        latency=None if profile is None else profile.latency,
        peak_rss_bytes=None if profile is None else profile.peak_rss_bytes,
        remarks=tuple(remarks),
        first_difference=there.difference,
        integer_mac_fraction=integers,
        partitions=None if kernels is None else kernels.partitions,
    )


def _loss(work: Path, here: Executed, there: str, kind: OutputKind) -> DeviceLoss:
    from edgevit.validate.accuracy import measure_accuracy

    assert here.outputs is not None, "asked of files that were executed here"
    ours, theirs = named_outputs.load(work / here.outputs), named_outputs.load(work / there)
    first = named_outputs.first(ours)
    theirs = named_outputs.head(theirs, len(first))
    agreement = None
    if kind.decides:
        agreement = measure_accuracy(first, named_outputs.first(theirs), None, kind).agreement
    return DeviceLoss(
        sqnr_db=named_outputs.worst("sqnr", ours, theirs),
        max_abs=named_outputs.worst("max_abs", ours, theirs),
        agreement=agreement,
        n=len(first),
    )
