"""The verdict on a file: was it executed, is it faithful, are its integers there, do the limits hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from edgevit.core.results.report import SITE_DB, ArtifactReport, Doubt, Limits, SiteError, Verdict
from edgevit.validate.floors import PLANNED, Finding, Origin, floors
from edgevit.validate.limits import check_limits

EXACT_DB: Final = 80.0
FLOAT16_DB: Final = 40.0
FLOOR_SLACK_DB: Final = 2.0
COMPRESSION_SLACK_DB: Final = 1.0
SITE_STEPS: Final = 1
SITE_OFF_FRACTION: Final = 0.005
INTEGER_SHARE: Final = 0.5
# Sites with hardly any work, such as a head, may end in a float kernel without harm.
PLAN_SLACK: Final = 0.01

_FLOAT_BYTES: Final = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_WEIGHT_INTEGERS: Final = ("int8", "uint8", "int4", "uint4", "int6", "uint6", "int2", "uint2")


def judge(
    artifact: ArtifactReport, limits: Limits, origin: Origin = PLANNED
) -> tuple[Verdict, tuple[str, ...]]:
    """Verdict and its reasons in plain words; of the verdict that the artifact carries only `error` stands.

    A failed check goes before one that could not be decided. A quantized file whose plan is not known
    (made earlier, or by another tool) is judged without its conversion loss, which cannot be told apart
    from what the rounding costs. `floors` says what quantization may cost where no limit does. A file
    that is faithful to a float model that knows nothing is not a good file.
    """
    if artifact.verdict == "error":
        return "error", artifact.reasons
    if artifact.refused:
        return "fail", artifact.refused
    if artifact.executed_by is None:
        return "not-executed", artifact.reasons or ("no runtime on this machine executes it",)
    faithful = _fidelity(artifact) if origin.planned or not artifact.precision.needs_plan else ()
    kept = floors(artifact, limits, origin) if artifact.precision.needs_plan else ()
    findings = (
        *faithful,
        *_integers(artifact),
        *kept,
        *check_limits(artifact, limits),
        *_reference(origin.doubts),
    )
    failed = tuple(text for kind, text in findings if kind == "fail")
    undecided = tuple(text for kind, text in findings if kind == "inconclusive")
    if artifact.explanation and (failed or undecided):  # another input: fed as it was, it is not the model
        failed = (artifact.explanation, *failed)
    if failed:
        return "fail", failed + undecided
    return ("inconclusive", undecided) if undecided else ("pass", ())


def with_verdict(artifact: ArtifactReport, limits: Limits, origin: Origin = PLANNED) -> ArtifactReport:
    """The same artifact with its verdict and reasons filled in."""
    verdict, reasons = judge(artifact, limits, origin)
    return replace(artifact, verdict=verdict, reasons=reasons)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0 all passed, 1 a check failed, 3 something could not be done or measured, 4 undecided.

    Of several, 1 goes before 3 before 4; no verdict at all is 3, since nothing was done.
    """
    seen = set(verdicts)
    if "fail" in seen:
        return 1
    if {"error", "not-executed"} & seen or not seen:
        return 3
    return 4 if "inconclusive" in seen else 0


def _fidelity(artifact: ArtifactReport) -> Iterator[Finding]:
    fidelity = artifact.fidelity
    if fidelity is None:
        yield "inconclusive", "its outputs were not compared"
    elif artifact.precision.quantizes_activations or fidelity.floor_db is not None:
        yield from _floor(fidelity.sqnr_db, fidelity.floor_db)
        yield from _total(artifact)
        yield from _sites(artifact.sites)
    else:
        in_float16 = artifact.precision.weights == "float16" or (
            artifact.precision.needs_plan and artifact.compute == "float16"
        )
        wanted = FLOAT16_DB if in_float16 else EXACT_DB
        if fidelity.sqnr_db < wanted:
            what = "the simulated plan" if artifact.precision.needs_plan else "the float reference"
            yield (
                "fail",
                f"the conversion lost precision: {fidelity.sqnr_db:.1f} dB against {what}, "
                f"{wanted:.0f} dB are needed",
            )


def _floor(sqnr_db: float, floor_db: float | None) -> Iterator[Finding]:
    if floor_db is None:
        yield "inconclusive", "the noise floor of the simulation was not measured"
    elif sqnr_db < min(floor_db - FLOOR_SLACK_DB, EXACT_DB):
        # a floor measured without one flipped rounding lies above what float32 itself can hold
        yield (
            "fail",
            f"the conversion lost precision: {sqnr_db:.1f} dB against the simulated plan, more than "
            f"{FLOOR_SLACK_DB:.0f} dB below the noise floor of {floor_db:.1f} dB",
        )


def _total(artifact: ArtifactReport) -> Iterator[Finding]:
    total, compression = artifact.total, artifact.compression
    if total is None or compression is None:
        yield "inconclusive", "the compression loss was not measured beside the total loss"
    elif total.sqnr_db < _promised(artifact, compression.sqnr_db) - COMPRESSION_SLACK_DB:
        yield (
            "fail",
            f"the executed file is worse than its plan: {total.sqnr_db:.1f} dB against the float "
            f"reference, the simulated plan has {compression.sqnr_db:.1f} dB",
        )


def _promised(artifact: ArtifactReport, planned_db: float) -> float:
    """What a plan promises of its file: its own SQNR, less the noise of kernels that are known not to be exact."""
    floor = artifact.fidelity.floor_db if artifact.fidelity is not None else None
    if floor is None or not any(site.allowed_steps is not None for site in artifact.sites):
        return planned_db
    noise = sum(10 ** (-db / 10) for db in (planned_db, floor - FLOOR_SLACK_DB))
    return -10 * math.log10(noise)


def _sites(sites: tuple[SiteError, ...]) -> Iterator[Finding]:
    if not sites:
        yield "inconclusive", "no single site was compared"
        return
    wrong = sorted((site for site in sites if not _site_holds(site)), key=lambda site: site.db)
    if wrong:
        worst = wrong[0]
        steps = ""
        if worst.max_steps is not None and worst.off_fraction is not None:
            steps = f", up to {worst.max_steps} steps off in {100 * worst.off_fraction:.2f} % of its elements"
        yield (
            "fail",
            f"{len(wrong)} of {len(sites)} sites do not compute what was planned; the worst is "
            f"{worst.site} with {worst.db:.1f} dB{steps} ({SITE_DB:.0f} dB are needed, or at most "
            f"one step off in {100 * SITE_OFF_FRACTION:.1f} %)",
        )


def _site_holds(site: SiteError) -> bool:
    if site.db >= SITE_DB:
        return True
    if site.max_steps is None or site.off_fraction is None:
        return False
    if site.allowed_steps is not None:
        return site.max_steps <= site.allowed_steps
    return site.max_steps <= SITE_STEPS and site.off_fraction <= SITE_OFF_FRACTION


def _integers(artifact: ArtifactReport) -> Iterator[Finding]:
    if artifact.float_operators:
        yield (
            "fail",
            "made for a backend without float, it was executed in float in part: "
            + ", ".join(artifact.float_operators),
        )
    if artifact.precision.quantizes_activations:
        share = artifact.integer_mac_fraction
        if share is None:
            yield "inconclusive", "what it computes in integers was not counted"
        elif share < INTEGER_SHARE:
            yield (
                "fail",
                f"meant to be {artifact.precision}, but only {100 * share:.0f} % of the "
                "multiply-accumulates run in integers",
            )
        elif artifact.planned_mac_fraction is not None and share < artifact.planned_mac_fraction - PLAN_SLACK:
            yield (
                "fail",
                f"the plan makes {100 * artifact.planned_mac_fraction:.1f} % of the multiply-accumulates "
                f"integer, but only {100 * share:.1f} % run in integers",
            )
    elif artifact.precision.needs_plan and artifact.weight_bytes:
        share = _integer_weights(artifact)
        if share < INTEGER_SHARE:
            yield (
                "fail",
                f"meant to be {artifact.precision}, but only {100 * share:.0f} % of the stored "
                "weights are integers",
            )


def _integer_weights(artifact: ArtifactReport) -> float:
    """Share of stored numbers that are small integers; an integer counts as one byte, which is least."""
    small = sum(artifact.weight_bytes.get(kind, 0) for kind in _WEIGHT_INTEGERS)
    floats = sum(artifact.weight_bytes.get(kind, 0) / size for kind, size in _FLOAT_BYTES.items())
    return small / (small + floats) if small + floats else 0.0


def _reference(doubts: tuple[Doubt, ...]) -> Iterator[Finding]:
    for doubt in doubts:
        if doubt.kind == "no-better-than-guessing":
            yield (
                "inconclusive",
                f"the float model itself has {doubt.top1:.2f} % on these images, which is no better than "
                "guessing; usual reasons are the order of the labels, the preprocessing, and a head or weights "
                "that were not trained for these classes",
            )
