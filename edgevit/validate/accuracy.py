"""Accuracy of a file against the float reference, from the outputs of both on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.outputs import LOGITS, OutputKind, class_scores, decisions
from edgevit.core.results.report import Accuracy, Reference
from edgevit.validate.chance import guessing
from edgevit.validate.metrics import agreement
from edgevit.validate.metrics._pairs import right
from edgevit.validate.statistics import detectable_drop, drop_bounds, drop_interval, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def measure_reference(
    outputs: Floats, labels: NDArray[np.int64] | None, kind: OutputKind = LOGITS
) -> Reference:
    """Top-1 and top-5 of the float model, float32 (N, C), in percent; None without labels or classes."""
    if labels is None or not kind.decides:
        return Reference(None, None, len(outputs))
    scores = class_scores(outputs, kind)
    n, known = len(scores), right(scores, labels, 1)
    return Reference(
        top1=100.0 * float(known.mean()),
        top5=100.0 * float(right(scores, labels, 5).mean()),
        n=n,
        top1_ci95=_percent(wilson_interval(int(known.sum()), n)),
        chance=_chance(scores, labels),
    )


def _chance(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    classes = scores.shape[1]
    return None if classes < 2 else 100.0 * guessing(scores.argmax(axis=1), labels, classes).expected


def measure_accuracy(
    reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None, kind: OutputKind = LOGITS
) -> Accuracy:
    """Agreement, top-1 of the candidate and its paired drop against the reference, float32 (N, C) each.

    What agrees is the class of each image, or, of a multi-label output, each decision on an image and a label.

    Raises:
        ValueError: shapes or labels do not fit, the reference is not finite, or the output decides nothing.
    """
    if not kind.decides:
        raise ValueError(f"{kind.words} decide nothing that could agree")
    n = len(reference)
    before, after = class_scores(reference, kind), class_scores(candidate, kind)
    if kind.task == "multi-label":
        same, exact, majority = _labels_agree(reference, candidate, kind)
    else:
        same, exact, majority = agreement.compute(before, after), None, _majority(before)
    if labels is None:
        return Accuracy(None, None, None, same, n, None, exact_match=exact, majority=majority)
    was, is_now = right(before, labels, 1), right(after, labels, 1)
    lost, gained = int((was & ~is_now).sum()), int((~was & is_now).sum())
    return Accuracy(
        top1=100.0 * float(is_now.mean()),
        drop_pp=100.0 * (lost - gained) / n,
        drop_ci95=_percent(drop_interval(lost, gained, n)),
        agreement=same,
        n=n,
        detectable_drop_pp=100.0 * detectable_drop(lost + gained, n),
        top5=100.0 * float(right(after, labels, 5).mean()),
        drop_bounds95=_percent(drop_bounds(lost, gained, n)),
        lost=lost,
        gained=gained,
        exact_match=exact,
        majority=majority,
    )


def _majority(scores: NDArray[np.float64]) -> float:
    """Percent of images with the reference's most frequent answer."""
    import numpy as np

    return 100.0 * float(np.bincount(scores.argmax(axis=1)).max()) / len(scores)


def _labels_agree(reference: Floats, candidate: Floats, kind: OutputKind) -> tuple[float, float, float]:
    """Percent: of decisions that agree, of images on which all do, of decisions that the best constant answer hits."""
    import numpy as np

    wanted = decisions(reference, kind)
    finite = np.isfinite(candidate).reshape(len(candidate), -1).all(axis=1)
    same = np.equal(decisions(candidate, kind), wanted) & np.reshape(finite, (-1, 1))
    given = wanted.mean(axis=0)
    constant = np.maximum(given, 1 - given).mean()
    return 100.0 * float(same.mean()), 100.0 * float(same.all(axis=1).mean()), 100.0 * float(constant)


def _percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100.0 * interval[0], 100.0 * interval[1]
