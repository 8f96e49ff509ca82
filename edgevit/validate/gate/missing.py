"""Accuracy and agreement where they cannot be compared, and why: nobody shall take silence for a pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgevit.core.results.baseline import Decoded
from edgevit.core.results.gate import FLOAT_MODEL, Check, CheckKind, Outcome
from edgevit.core.settings.gate_policy import Policy
from edgevit.validate.gate.sides import Shipped, outputs_of
from edgevit.validate.statistics import wilson_interval

_CONFIDENCE: Final = 0.9  # two-sided: its ends are one-sided 95 % bounds


def missing_checks(old: Shipped, new: Shipped, policy: Policy) -> Iterator[Check]:
    """Of every output of the float model, and of all files that answered on one side at least."""
    same = old.facts.model.weights_sha256 == new.facts.model.weights_sha256
    files = [
        file.name
        for file in old.facts.files
        if (found := new.file(file.name)) and found.size_bytes is not None
    ]
    # Another kind of output of the model itself is a finding of its own.
    other: Outcome = "inconclusive" if old.facts.model.output == new.facts.model.output else "not-compared"
    for named, before, now in outputs_of(old, new):
        reference = before.reference, now.reference
        limit = policy.limits_for(FLOAT_MODEL).max_drop
        if limit is not None and _unlabelled(*reference):
            yield _changed(FLOAT_MODEL + named, *reference, same, limit)
        elif before.reference.answer is None and now.reference.answer is None:
            yield _without_classes(FLOAT_MODEL + named, same)
        else:
            yield from _of(FLOAT_MODEL, named, *reference, policy, other)
        for name in files:
            yield from _of(name, named, before.answers.get(name), now.answers.get(name), policy, other)


def _unlabelled(before: Decoded, now: Decoded) -> bool:
    answered = before.answer is not None and now.answer is not None
    return answered and before.correct is None and now.correct is None


def _of(
    file: str, named: str, before: Decoded | None, now: Decoded | None, policy: Policy, other: Outcome
) -> Iterator[Check]:
    subject, limits = file + named, policy.limits_for(file)
    if before is None and now is None:
        return  # executed nowhere: there is no more to say than its other checks do
    if before is None or now is None:
        side = "the baseline's was" if before is None else "it was"
        kinds: tuple[CheckKind, ...] = ("accuracy", "agreement")
        for kind in kinds:
            yield _not(subject, kind, f"{side} not executed, so that there are no answers of images")
        return
    if before.answer is None and now.answer is None:
        return  # the SQNR of each image is compared
    if limits.max_drop is None:
        yield _not(subject, "accuracy", "the policy sets no limit")
    elif _unlabelled(before, now):
        yield _not(
            subject, "accuracy", "the images have no labels: agreement with the float model is compared"
        )
    elif before.answer is None or now.answer is None:
        lacking = "the baseline's outputs named" if before.answer is None else "its outputs name"
        yield _not(subject, "accuracy", f"{lacking} no classes, so that no answers can be compared", other)
    elif before.correct is None or now.correct is None:
        whose = "the baseline's" if before.correct is None else "its"
        yield _not(subject, "accuracy", f"whether {whose} answers are right is not known", "inconclusive")
    if file != FLOAT_MODEL and limits.max_agreement_loss is None:
        yield _not(subject, "agreement", "the policy sets no limit")


def _changed(subject: str, before: Decoded, now: Decoded, same: bool, limit: float) -> Check:
    """Without labels the float model has nothing to agree with: each answer that changed may have been right.

    As many as changed are then the most that can have been lost.
    """
    assert before.answer is not None and now.answer is not None
    n, changed = len(now.answer), int((before.answer != now.answer).sum())
    low, high = (100 * end for end in wilson_interval(changed, n, _CONFIDENCE))
    said = f"{changed} of {n:,} answers changed, {100 * changed / n:.2f} % [{low:.2f}, {high:.2f}]"
    outcome: Outcome = "pass"
    if same and not changed:
        said = f"the same weights, with the same answer on all {n:,} images"
    elif high <= limit:
        said += f": within the {limit:g} points that accuracy may fall, even if all of them were right before"
    else:
        outcome = "inconclusive"
        said += (
            f": without labels nothing says whether these are better or worse, and {limit:g} points is what accuracy "
            "may fall. Labels would decide"
        )
    return Check(subject=subject, kind="accuracy", outcome=outcome, reason=said, limit=limit, n=n)


def _without_classes(subject: str, same: bool) -> Check:
    if same:
        return Check(subject=subject, kind="accuracy", outcome="pass", reason="the same weights")
    reason = (
        "the weights are others, and its outputs name no classes: whether the float model itself is better or worse "
        "is not known here, since each file is held against its own"
    )
    return _not(subject, "accuracy", reason)


def _not(subject: str, kind: CheckKind, reason: str, outcome: Outcome = "not-compared") -> Check:
    return Check(subject=subject, kind=kind, outcome=outcome, reason=reason)
