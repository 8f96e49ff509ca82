"""All checks of a run, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from edgevit.core.results.gate import FLOAT_MODEL, Check, Outcome
from edgevit.core.settings.gate_policy import OnInconclusive, Policy
from edgevit.validate.gate.accuracy import accuracy_checks, what_to_compare
from edgevit.validate.gate.figures import figure_checks
from edgevit.validate.gate.interface import interface_checks
from edgevit.validate.gate.latency import Beside, latency_checks
from edgevit.validate.gate.missing import missing_checks
from edgevit.validate.gate.sides import Seen, Shipped
from edgevit.validate.gate.slices import slice_checks
from edgevit.validate.gate.sqnr import by_image, sqnr_checks

_ORDER: Final[tuple[Outcome, ...]] = ("regressed", "inconclusive", "not-compared", "pass")


def judge(
    old: Shipped,
    new: Shipped,
    seen: Seen,
    policy: Policy,
    timed: Mapping[str, Beside],
    not_timed: str,
) -> tuple[Check, ...]:
    """Every check, the worst first.

    Args:
        old: in the words of `new` (`sides.in_words_of`); its `classes` are its own.
        timed, not_timed: as `latency_checks` takes them.
    """
    decibels = by_image(old, new)
    found = (
        *accuracy_checks(old, new, policy),
        *missing_checks(old, new, policy),
        *sqnr_checks(decibels, policy),
        *slice_checks(tuple(what_to_compare(old, new, policy)), seen, new.classes),
        *figure_checks(old, new, policy, frozenset(decibels)),
        *latency_checks(old, new, policy, timed, not_timed),
        *interface_checks(old, new),
    )
    accepted = [_accepted(check, policy) for check in found]
    files = [FLOAT_MODEL, *(file.name for file in old.facts.files)]

    def place(check: Check) -> tuple[int, int]:
        return _ORDER.index(check.outcome), files.index(check.subject) if check.subject in files else len(
            files
        )

    return tuple(sorted(accepted, key=place))


def _accepted(check: Check, policy: Policy) -> Check:
    if check.outcome != "regressed" or not check.accept or not policy.accepts(check.accept):
        return check
    reason = (
        f"accepted as {check.accept!r}: {check.reason.partition('. Whoever')[0].partition('. If that')[0]}"
    )
    return replace(check, outcome="pass", accepted=True, reason=reason)


def outcome_of(checks: Iterable[Check]) -> Outcome:
    """The worst; where nothing at all was compared, it is inconclusive: silence is no pass."""
    outcomes = {check.outcome for check in checks}
    if "regressed" in outcomes:
        return "regressed"
    return "inconclusive" if "inconclusive" in outcomes or "pass" not in outcomes else "pass"


def exit_code(outcome: Outcome, on_inconclusive: OnInconclusive | None) -> int:
    """0, 1 or 4 of the contract."""
    if outcome == "inconclusive":
        return {None: 4, "fail": 1, "pass": 0}[on_inconclusive]
    return 1 if outcome == "regressed" else 0
