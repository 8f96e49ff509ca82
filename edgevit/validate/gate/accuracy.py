"""Accuracy and agreement against the baseline, image by image, as tests of non-inferiority over all files at once.

Each check compares the same images: `lost` are those of which the baseline alone is right, `gained` those of which the
new answer alone is. `regression.py` has the tests; all checks of a run share one chance of a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core.results.baseline import Decoded
from edgevit.core.results.gate import FLOAT_MODEL, Check, CheckKind
from edgevit.core.settings.gate_policy import Policy
from edgevit.validate.gate.sides import Shipped, outputs_of
from edgevit.validate.regression import ALPHA, Judged, Pairs, images_for, judge_drops
from edgevit.validate.statistics import detectable_drop, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# One fifth of the chance of a false alarm is for slices.
SLICES_ALPHA: Final = ALPHA / 5
FILES_ALPHA: Final = ALPHA - SLICES_ALPHA


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing on which images can be won and lost.

    Attributes:
        before, now: whether each image is right, or agrees with the float model, bool (N,).
        margin: percentage points that may be lost.
        same_bytes: it is the same file, or the same weights.
    """

    subject: str
    kind: CheckKind
    before: NDArray[np.bool_]
    now: NDArray[np.bool_]
    margin: float
    same_bytes: bool

    @property
    def pairs(self) -> Pairs:
        """Images lost and gained."""
        lost, gained = self.before & ~self.now, self.now & ~self.before
        return Pairs(int(lost.sum()), int(gained.sum()), len(self.now))


def accuracy_checks(old: Shipped, new: Shipped, policy: Policy) -> Iterator[Check]:
    """Accuracy (with labels) and agreement with the float model, of the float model and all files that both have."""
    compared = tuple(what_to_compare(old, new, policy))
    undecided = [one for one in compared if not _untouched(one)]
    judged = judge_drops(
        [one.pairs for one in undecided], [one.margin / 100 for one in undecided], FILES_ALPHA
    )
    verdicts = dict(zip(map(id, undecided), judged, strict=True))
    for one in compared:
        found = verdicts.get(id(one))
        yield _same(one) if found is None else _check(one, found)
    yield from _floors(new, policy)


def what_to_compare(old: Shipped, new: Shipped, policy: Policy) -> Iterator[Compared]:
    """Every file on which both sides answered, and the float model; what the policy switched off is not among them."""
    for one in on_both(old, new):
        limits, before, now = policy.limits_for(one.file), one.before, one.now
        if before.correct is not None and now.correct is not None and limits.max_drop is not None:
            yield Compared(one.subject, "accuracy", before.correct, now.correct, limits.max_drop, one.same)
        if one.file == FLOAT_MODEL or limits.max_agreement_loss is None:
            continue
        agreed, agrees = _agreement(one.reference_before, before), _agreement(one.reference, now)
        if agreed is not None and agrees is not None:
            yield Compared(one.subject, "agreement", agreed, agrees, limits.max_agreement_loss, one.same)


@dataclass(frozen=True, slots=True)
class Both:
    """An output of a file, or of the float model, that both sides answered; `file` has it, `subject` names it."""

    file: str
    subject: str
    before: Decoded
    now: Decoded
    reference_before: Decoded
    reference: Decoded
    same: bool


def on_both(old: Shipped, new: Shipped) -> Iterator[Both]:
    """Every output of the float model and of all files on which both sides answered."""
    same_model = old.facts.model.weights_sha256 == new.facts.model.weights_sha256
    for named, before, now in outputs_of(old, new):
        known = before.reference, now.reference
        yield Both(FLOAT_MODEL, FLOAT_MODEL + named, *known, *known, same_model)
        for name, answers in before.answers.items():
            found = now.answers.get(name)
            if found is not None:
                files = old.file(name), new.file(name)
                same = files[0] is not None and files[1] is not None and files[0].sha256 == files[1].sha256
                yield Both(name, name + named, answers, found, *known, same)


def _agreement(reference: Decoded, file: Decoded) -> NDArray[np.bool_] | None:
    import numpy as np

    if reference.answer is None or file.answer is None:
        return None
    return np.asarray(reference.answer == file.answer)


def _untouched(one: Compared) -> bool:
    """The same bytes with the same outcome on every image: nothing that chance could have hidden."""
    return one.same_bytes and (one.before == one.now).all().item()


def _same(one: Compared) -> Check:
    n = len(one.now)
    share = 100 * float(one.now.mean())
    what = "the same weights" if one.subject.startswith(FLOAT_MODEL) else "the same file, byte for byte"
    return Check(
        subject=one.subject,
        kind=one.kind,
        outcome="pass",
        reason=f"{share:.2f} %, {what}, with the same outcome on all {n:,} images",
        old=share,
        new=share,
        unit="%",
        limit=one.margin,
        change=0.0,
        bounds=(0.0, 0.0),
        n=n,
    )


def _check(one: Compared, found: Judged) -> Check:
    pairs = one.pairs
    before, now = 100 * float(one.before.mean()), 100 * float(one.now.mean())
    low, high = (100 * end for end in found.bounds)
    what = "right" if one.kind == "accuracy" else "in agreement with the float model"
    said = (
        f"{before:.2f} % became {now:.2f} % {what}, {pairs.lost} images lost and {pairs.gained} gained of {pairs.n:,}: "
        f"a drop of {100 * found.drop:.2f} points [{low:.2f}, {high:.2f}]"
    )
    words = {
        "pass": f"within the {one.margin:g} that are allowed",
        "regressed": f"more than the {one.margin:g} that are allowed",
        "inconclusive": f"{_maybe(low, one.margin)}; {decide(found, pairs.n)}",
    }
    return Check(
        subject=one.subject,
        kind=one.kind,
        outcome=found.outcome,
        reason=f"{said}, {words[found.outcome]}",
        old=before,
        new=now,
        unit="%",
        limit=one.margin,
        change=100 * found.drop,
        bounds=(low, high),
        n=pairs.n,
        detectable=100 * detectable_drop(pairs.lost + pairs.gained, pairs.n, FILES_ALPHA),
        images_needed=found.images_needed,
    )


def _maybe(low: float, margin: float) -> str:
    if low > margin:
        return f"more than the {margin:g} that are allowed, but by chance one of so many checks may look so"
    return f"which may be more or less than the {margin:g} that are allowed"


def decide(found: Judged, n: int) -> str:
    """How many images would decide, in one clause."""
    if found.images_needed is None:
        return "no number of images decides a drop that is the limit itself"
    return f"about {max(found.images_needed, n + 1):,} images would decide, {n:,} are here"


def _floors(new: Shipped, policy: Policy) -> Iterator[Check]:
    """`min_agreement`, whatever the baseline had: by one-sided 95 % Wilson bounds."""
    for name, now in new.answers.items():
        least, agrees = policy.limits_for(name).min_agreement, _agreement(new.reference, now)
        if least is None:
            continue
        if agrees is None:
            why = "its outputs name no classes that could agree"
            yield Check(subject=f"{name} minimum", kind="agreement", outcome="not-compared", reason=why)
            continue
        n, share = len(agrees), 100 * float(agrees.mean())
        low, high = (100 * end for end in wilson_interval(int(agrees.sum()), n, 0.9))
        outcome = "pass" if low >= least else "regressed" if high < least else "inconclusive"
        reason = f"{share:.2f} % agree with the float model [{low:.2f}, {high:.2f}], at least {least:g} are asked for"
        yield Check(
            subject=f"{name} minimum",
            kind="agreement",
            outcome=outcome,  # type: ignore[arg-type]
            reason=reason,
            new=share,
            unit="%",
            n=n,
        )


def power(old: Shipped, new: Shipped, policy: Policy) -> str:
    """What drop these images could have shown, and how many the limit needs, in one or two sentences."""
    found = [one for one in what_to_compare(old, new, policy) if one.kind == "accuracy"]
    found = found or list(what_to_compare(old, new, policy))
    if not found:
        return ""
    most = max(found, key=lambda one: one.pairs.lost + one.pairs.gained)
    pairs = most.pairs
    changed = pairs.lost + pairs.gained
    shown = 100 * detectable_drop(changed, pairs.n, FILES_ALPHA)
    said = (
        f"On these {pairs.n:,} images, of which at most {100 * changed / pairs.n:.1f} % changed ({most.subject}), "
        f"a drop of {shown:.2f} points is found with a power of 80 %."
    )
    if not changed or not most.margin:
        return said
    needed = images_for(min(most.margin / 100, 1.0), changed / pairs.n)
    return f"{said} To pass a limit of {most.margin:g} points as often takes {needed:,} images."
