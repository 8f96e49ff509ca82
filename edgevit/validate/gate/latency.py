"""Latency: files timed beside each other in this run, else times of earlier runs where they may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edgevit.core.results.gate import Check, Outcome
from edgevit.core.results.report import Ratio
from edgevit.core.settings.gate_policy import Policy
from edgevit.validate.gate.sides import Shipped

_Z: Final = 1.96  # half of a 95 % interval, in standard errors


@dataclass(frozen=True, slots=True)
class Beside:
    """Both files timed in turn: medians in milliseconds, and the new one's time over the old one's."""

    outcome: Outcome
    reason: str
    ratio: Ratio | None = None
    old_ms: float | None = None
    new_ms: float | None = None


def latency_checks(
    old: Shipped, new: Shipped, policy: Policy, timed: Mapping[str, Beside], why_not: str
) -> Iterator[Check]:
    """Of every file that both have and that was executed.

    Args:
        timed: files that were timed beside each other in this run.
        why_not: why the others were not; "" where none were asked for.
    """
    for before in old.facts.files:
        now = new.file(before.name)
        if now is None or now.size_bytes is None:
            continue
        limit = policy.limits_for(before.name).max_latency_regression
        found = timed.get(before.name)
        if limit is None:
            yield _not(before.name, "the policy sets no limit")
        elif found is not None:
            ratio = found.ratio
            yield Check(
                subject=before.name,
                kind="latency",
                outcome=found.outcome,
                reason=found.reason,
                old=found.old_ms,
                new=found.new_ms,
                unit="ms",
                limit=limit,
                change=None if ratio is None else 100 * (ratio.value - 1),
                bounds=None if ratio is None else (100 * (ratio.ci95[0] - 1), 100 * (ratio.ci95[1] - 1)),
            )
        elif before.sha256 == now.sha256 and before.executed_by == now.executed_by:
            yield _not(before.name, "it is the same file, byte for byte, in the same runtime")
        else:
            yield _remembered(before.name, old, new, limit, why_not)


def _remembered(name: str, old: Shipped, new: Shipped, limit: float, why_not: str) -> Check:
    """By each run's own ratio to its fp32 file, which a slower hour of the machine does not touch.

    Wall-clock times of a machine that did other things as well decide nothing. That says nothing of the file, so it is
    not compared, rather than inconclusive: no second run of the gate would decide it either.
    """
    known, found = old.file(name), new.file(name)
    before, now = (None if file is None else file.latency for file in (known, found))
    if before is None or now is None:
        return _not(name, "; ".join(filter(None, (why_not, "it was not timed in both runs"))))
    if now.device != before.device:
        return _not(name, now.device.difference(before.device))
    if before.ratio_to_fp32 is None or now.ratio_to_fp32 is None:
        why = "times of two runs differ by more than files do; give the earlier bundle as the baseline to time both"
        return _not(name, why)
    ratio = _ratio_of_ratios(now.ratio_to_fp32, before.ratio_to_fp32)
    low, high = (100 * (end - 1) for end in ratio.ci95)
    slower = 100 * (ratio.value - 1)
    told = (
        f"measured against the fp32 file of its own run it took {before.ratio_to_fp32.value:.2f} times as long and "
        f"takes {now.ratio_to_fp32.value:.2f} times, {slower:+.1f} % [{low:+.1f}, {high:+.1f}]"
    )
    if low <= limit < high:
        why = f"{told}: too wide for a limit of {limit:g} %; give the earlier bundle as the baseline to time both"
        return _not(name, why)
    regressed = low > limit
    return Check(
        subject=name,
        kind="latency",
        outcome="regressed" if regressed else "pass",
        reason=f"{told}, {'more than' if regressed else 'within'} the {limit:g} % that are allowed",
        old=before.p50_ms,
        new=now.p50_ms,
        unit="ms",
        limit=limit,
        change=slower,
        bounds=(low, high),
    )


def _ratio_of_ratios(now: Ratio, before: Ratio) -> Ratio:
    """Two independent ratios, whose logarithms' errors add in squares."""

    def error(ratio: Ratio) -> float:
        low, high = ratio.ci95
        return (math.log(high) - math.log(low)) / (2 * _Z)

    value = now.value / before.value
    half = _Z * math.hypot(error(now), error(before))
    return Ratio(value, (value * math.exp(-half), value * math.exp(half)))


def _not(name: str, reason: str) -> Check:
    return Check(subject=name, kind="latency", outcome="not-compared", reason=reason)
