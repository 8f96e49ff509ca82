"""The verdict on a file on a device: does it give there what it gives here, and do the limits hold there too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from edgevit.core.results.report import ArtifactReport, DeviceLoss, Limits, OnDevice, Verdict
from edgevit.validate.floors import Finding
from edgevit.validate.limits import check_limits
from edgevit.validate.verdict import EXACT_DB, FLOAT16_DB, INTEGER_SHARE, PLAN_SLACK

# What two processors' kernels change is small beside what quantization costs: at most half of its noise power.
BESIDE_LOSS_DB: Final = 3.0
# Two kernels each differ from what was planned as far as the noise floor allows.
TWO_KERNELS_DB: Final = 5.0
_WORST_FIRST: Final = ("fail", "error", "not-executed", "inconclusive", "pass")


def judged(artifact: ArtifactReport, found: OnDevice, limits: Limits) -> OnDevice:
    """`found` with its verdict; `artifact` is the same file as it was judged here.

    The limits hold on every device. What differs between here and there is held against what can differ: nothing but
    the order of sums where the file computes in float, and the rounding of values that lie between two steps where it
    computes in integers. What the runtime there executes in integers must be the greater part of a file that is meant
    for it; where it is another part than here, a remark says so.
    """
    if found.executed_by is None:
        return found
    there = replace(artifact, total=found.total, accuracy=found.accuracy, heads=found.heads, auto_float=None)
    findings = (*_loss(artifact, found.loss), *_integers(artifact, found), *check_limits(there, limits))
    failed = tuple(text for kind, text in findings if kind == "fail")
    if failed and found.first_difference:
        failed = (*failed, found.first_difference)
    undecided = tuple(text for kind, text in findings if kind == "inconclusive")
    verdict: Verdict = "fail" if failed else "inconclusive" if undecided else "pass"
    remarks = (*found.remarks, *_other_kernels(artifact, found))
    return replace(found, verdict=verdict, reasons=failed + undecided, remarks=remarks)


def with_devices(artifact: ArtifactReport, devices: Sequence[OnDevice]) -> ArtifactReport:
    """The artifact with its devices; its verdict is the worst of all."""
    verdicts = [artifact.verdict, *(one.verdict for one in devices)]
    worst = min(verdicts, key=_WORST_FIRST.index)
    reasons = tuple(
        reason if reason.startswith(f"on {one.device}: ") else f"on {one.device}: {reason}"
        for one in devices
        for reason in one.reasons
    )
    return replace(artifact, verdict=worst, reasons=(*artifact.reasons, *reasons), devices=tuple(devices))


def least_db(artifact: ArtifactReport) -> float | None:
    """The SQNR that a file must have there against here; None where nothing says so."""
    if not artifact.precision.quantizes_activations:
        return FLOAT16_DB if artifact.compute == "float16" else EXACT_DB
    bounds = []
    if artifact.fidelity is not None and artifact.fidelity.floor_db is not None:
        bounds.append(artifact.fidelity.floor_db - TWO_KERNELS_DB)
    if artifact.total is not None:
        bounds.append(artifact.total.sqnr_db + BESIDE_LOSS_DB)
    return min(bounds, default=None)


def _loss(artifact: ArtifactReport, loss: DeviceLoss | None) -> Iterator[Finding]:
    if loss is None:
        yield "inconclusive", "nothing here executes the file, so that it was not compared with itself"
        return
    least = least_db(artifact)
    if least is None:
        yield "inconclusive", "nothing says how much may differ between two processors"
    elif loss.sqnr_db < least:
        agreement = (
            "" if loss.agreement is None else f", the same class on {loss.agreement:.1f} % of the images"
        )
        yield (
            "fail",
            f"it computes something else there: {loss.sqnr_db:.1f} dB against the same file here, at least "
            f"{least:.1f} dB are needed{agreement}",
        )


def _integers(artifact: ArtifactReport, found: OnDevice) -> Iterator[Finding]:
    share = found.integer_mac_fraction
    if share is not None and artifact.precision.quantizes_activations and share < INTEGER_SHARE:
        yield (
            "fail",
            f"meant to be {artifact.precision}, but only {100 * share:.0f} % of the multiply-accumulates run in "
            "integers there",
        )


def _other_kernels(artifact: ArtifactReport, found: OnDevice) -> Iterator[str]:
    """What the runtime there makes of the file otherwise than the one here."""
    here, there = artifact.integer_mac_fraction, found.integer_mac_fraction
    if here is not None and there is not None and abs(here - there) > PLAN_SLACK:
        yield (
            f"{100 * there:.0f} % of its multiply-accumulates run in integers there ({found.executed_by}), "
            f"{100 * here:.0f} % here ({artifact.executed_by})"
        )
    if None not in (artifact.partitions, found.partitions) and artifact.partitions != found.partitions:
        yield f"the delegate executes {_parts(found.partitions)} there, {_parts(artifact.partitions)} here"


def _parts(count: int | None) -> str:
    return f"{count} part of it" if count == 1 else f"{count} parts of it"
