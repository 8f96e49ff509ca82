"""Plain sentences about what a compressed file does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgevit.core.precisions import Precision
from edgevit.core.results.report import ArtifactReport, KeptFloat32

_TOLD: Final = 6


def notes(artifact: ArtifactReport) -> tuple[str, ...]:
    """What a user should know before choosing this file, judged by the fp32 file of the same target.

    Slower or faster is only said where the 95 % interval of the ratio leaves 1 out.
    """
    return (
        *((f"Compared as {artifact.compared_as}.",) if artifact.compared_as else ()),
        *_fewer_images(artifact),
        *_reconstruction(artifact),
        *_narrow(artifact),
        *_auto_float(artifact),
        *_speed(artifact),
        *_size(artifact),
        *_float16(artifact),
    )


def _fewer_images(artifact: ArtifactReport) -> Iterator[str]:
    if artifact.executed_images is not None:
        yield (
            f"Executed on the first {artifact.executed_images} evaluation images alone (--emulated-count), so that its "
            "figures have wider intervals, and `gate` has no answers of it to compare."
        )


def _reconstruction(artifact: ArtifactReport) -> Iterator[str]:
    found = artifact.reconstruction
    if found is None:
        return
    unreached = found.blocks - found.tried
    yield (
        f"--reconstruct improved {found.kept} of {found.blocks} blocks"
        + (f"; time ran out before {unreached} of them, so that another run may differ" if unreached else "")
        + f". On {found.images} held-out calibration images the simulated plan went from "
        f"{found.sqnr_before_db:.1f} to {found.sqnr_after_db:.1f} dB."
    )


def _narrow(artifact: ArtifactReport) -> Iterator[str]:
    narrow, whole = artifact.narrow_mac_fraction, artifact.integer_mac_fraction
    if narrow is not None and whole is not None:
        yield (
            f"{100 * narrow:.1f} % of the multiply-accumulates have 8-bit activations, {100 * (whole - narrow):.1f} % "
            "16-bit ones."
        )


def _auto_float(artifact: ArtifactReport) -> Iterator[str]:
    found = artifact.auto_float
    if found is None:
        return
    limits, images = " and ".join(found.limits), f"{found.images} held-out calibration images"
    if not found.reached:
        yield (
            f"Even with all sites in {found.into} the simulated plan misses {limits}: on {images} it has "
            f"{found.sqnr_after_db:.1f} dB then, and {found.sqnr_before_db:.1f} dB as planned. The plan was kept."
        )
    elif not found.sites:
        yield f"No site had to be in {found.into} to meet {limits} on {images}."
    else:
        names = ", ".join(site.site for site in found.sites[:_TOLD])
        more = len(found.sites) - _TOLD
        yield (
            f"Kept in {found.into} to meet {limits}: {names}"
            + (f" and {more} more in report.json" if more > 0 else "")
            + f"; {100 * found.mac_fraction:.1f} % of the multiply-accumulates. On {images} the simulated plan "
            f"went from {found.sqnr_before_db:.1f} to {found.sqnr_after_db:.1f} dB."
        )


def _speed(artifact: ArtifactReport) -> Iterator[str]:
    latency = artifact.latency
    if latency is None:
        if artifact.executed_by is not None:
            yield f"No latency was measured with {artifact.executed_by}."
        return
    ratio = latency.ratio_to_fp32
    if ratio is None or artifact.precision is Precision.FP32:
        return
    low, high = ratio.ci95
    times = f"{ratio.value:.2f} times its time on this machine (95 % interval {low:.2f} to {high:.2f})"
    if low > 1:
        yield f"Slower than its fp32 file: {times}."
    elif high >= 1:
        yield f"Not measurably faster than its fp32 file: {times}."


def _size(artifact: ArtifactReport) -> Iterator[str]:
    size, full = artifact.size_bytes, artifact.fp32_size_bytes
    if size is None or full is None or artifact.precision is Precision.FP32 or size < full:
        return
    how = "Larger than" if size > full else "As large as"
    yield f"{how} its fp32 file: {size / 1e6:.2f} MB against {full / 1e6:.2f} MB."


def _float16(artifact: ArtifactReport) -> Iterator[str]:
    kept, unsafe = artifact.float32_kept, artifact.float16_unsafe
    if kept:
        yield f"Computed in float32, because float16 would spoil it: {_named(kept)}."
    if unsafe:
        yield (
            "This file stores float16 and computes in float32 on CPUs. A delegate that computes in float16, "
            f"as on GPUs, would compute wrong values at {_named(unsafe)}."
        )


def _named(found: tuple[KeptFloat32, ...]) -> str:
    """The first few with their reasons; report.json has them all."""
    listed = "; ".join(f"{item.site} ({item.reason})" for item in found[:_TOLD])
    return listed if len(found) <= _TOLD else f"{listed}; and {len(found) - _TOLD} more in report.json"
