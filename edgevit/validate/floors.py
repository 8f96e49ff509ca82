"""What a quantized file keeps of its model where nobody said what is enough.

Two numbers for each measure: one below which a file fails, one from which on it is fine; in between nothing
is decided. They come from files of today's tools (docs/benchmarks.md): those of 8 dB and 75 % agreement are
bad, 14 dB and 91 % is mediocre, 20 dB and 95 % is what good 4-bit files reach. One percent of accuracy is
what MLPerf Inference lets a quantized model lose.

The measures differ in strength: accuracy on labelled images says most, agreement with the float model
less, an SQNR least, since scores may move without changing an answer. So a limit on the drop that the user
gave and the file holds goes before the floors of the other two, and a file that demonstrably gives the same
answers does not fail by its SQNR alone. Shares are judged by one-sided 95 % bounds: few images fail no file
by bad luck.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from edgevit.core.results.report import Accuracy, ArtifactReport, Doubt, Limits, Total
from edgevit.validate.heads import accuracies
from edgevit.validate.statistics import one_sided_bounds

Finding = tuple[Literal["fail", "inconclusive"], str]


@dataclass(frozen=True, slots=True)
class Origin:
    """How a file came to be.

    Attributes:
        planned: made from a plan that is known, and compared with it. Then only what fails is told here.
        pruned: the model was pruned before. What that costs was wanted, and nothing is told here.
        random_weights: the margins between the classes of such a model mean nothing: its SQNR alone counts.
        doubts: what labelled images say against the float model.
    """

    planned: bool = True
    pruned: bool = False
    random_weights: bool = False
    doubts: tuple[Doubt, ...] = ()


PLANNED: Final = Origin()


@dataclass(frozen=True, slots=True)
class Floor:
    """Beyond `bad` a file fails, up to `fine` nothing is wrong with it."""

    bad: float
    fine: float


SQNR_DB: Final = Floor(bad=10.0, fine=20.0)
AGREEMENT: Final = Floor(bad=85.0, fine=95.0)
DROP_PP: Final = Floor(bad=5.0, fine=1.0)
# Agreement of at least so much, beyond luck, shows that a file follows its model whatever its SQNR is.
FOLLOWS: Final = 90.0
ADVICE: Final = (
    "make it again with more calibration images, another precision or --auto-float, or say what you accept "
    "with --max-drop, --min-agreement or --min-sqnr"
)


def floors(artifact: ArtifactReport, limits: Limits, origin: Origin) -> tuple[Finding, ...]:
    """What is too low, or not certainly high enough."""
    if origin.pruned:
        return ()
    heads = () if origin.random_weights else accuracies(artifact)
    total = artifact.total
    if total is not None and origin.random_weights:
        total = replace(total, variation_db=None)
    each = (finding for head in heads for finding in (*_agreement(*head, limits), *_drop(*head, limits)))
    found = (*_sqnr(total, tuple(accuracy for _, accuracy in heads), limits), *each)
    reasons = tuple((kind, text) for kind, text, middling in found if not (origin.planned and middling))
    return () if not reasons else (*reasons[:-1], (reasons[-1][0], f"{reasons[-1][1]}; {ADVICE}"))


def says_nothing(accuracy: Accuracy, share: float) -> bool:
    """Whether a file that always gives the same answer would reach this agreement too, as far as can be told."""
    if accuracy.majority is None or accuracy.majority < share:
        return False
    return one_sided_bounds(accuracy.agreement, accuracy.n)[0] <= accuracy.majority


_Graded = Iterator[tuple[Literal["fail", "inconclusive"], str, bool]]


def _sqnr(total: Total | None, heads: tuple[Accuracy, ...], limits: Limits) -> _Graded:
    """Of the output that fares worst: what its answers say counts if those of all heads say it."""
    if total is None or limits.min_sqnr is not None:
        return
    if heads and all(_drop_held(accuracy, limits) for accuracy in heads):
        return
    found, what = total.sqnr_db, "against the float reference"
    if total.variation_db is not None and total.variation_db < found:
        found, what = total.variation_db, "of what differs from image to image, against the float reference"
    follows = bool(heads) and all(map(_follows, heads))
    text = f"{found:.1f} dB {what}; a quantized file should keep {SQNR_DB.fine:.0f} dB"
    if found < SQNR_DB.bad:
        text += f" and fails below {SQNR_DB.bad:.0f} dB"
        if follows:
            agreement = min(accuracy.agreement for accuracy in heads)
            yield "inconclusive", f"{text}, but it agrees on {agreement:.2f} % of the images", False
        else:
            yield "fail", text, False
    elif found < SQNR_DB.fine and not follows:
        yield "inconclusive", text, True


def _follows(accuracy: Accuracy) -> bool:
    return not says_nothing(accuracy, 0.0) and one_sided_bounds(accuracy.agreement, accuracy.n)[0] >= FOLLOWS


def _agreement(head: str, accuracy: Accuracy, limits: Limits) -> _Graded:
    if limits.min_agreement is not None or _drop_held(accuracy, limits):
        return
    _, high = one_sided_bounds(accuracy.agreement, accuracy.n)
    text = (
        f"{head}it agrees with the float model on {accuracy.agreement:.2f} % of {accuracy.n} images; a quantized file "
        f"should on {AGREEMENT.fine:.0f} %"
    )
    if high < AGREEMENT.bad:
        yield "fail", f"{text} and fails where it is certainly below {AGREEMENT.bad:.0f} %", False
    elif high < AGREEMENT.fine:
        yield "inconclusive", text, True


def _drop(head: str, accuracy: Accuracy, limits: Limits) -> _Graded:
    if accuracy.drop_pp is None or accuracy.drop_bounds95 is None or limits.max_drop is not None:
        return
    low, _ = accuracy.drop_bounds95
    text = (
        f"{head}top-1 drops by {accuracy.drop_pp:.2f} points on {accuracy.n} images, with 95 % confidence by more "
        f"than {low:.2f}; a quantized file should lose at most {DROP_PP.fine:.0f}"
    )
    if low > DROP_PP.bad:
        yield "fail", f"{text} and fails beyond {DROP_PP.bad:.0f}", False
    elif low > DROP_PP.fine:
        yield "inconclusive", text, True


def _drop_held(accuracy: Accuracy, limits: Limits) -> bool:
    """Whether the user's limit on the drop is decided and holds, by a file that does more than repeat one answer."""
    if limits.max_drop is None or accuracy.drop_bounds95 is None:
        return False
    return accuracy.drop_bounds95[1] <= limits.max_drop and not says_nothing(accuracy, 0.0)
