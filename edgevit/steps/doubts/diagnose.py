"""What labelled images say against the float model itself.

Files are held against the float model; where that one is wrong, a faithful file is wrong too. So, before
the work: is it right more often than someone who guesses, would it be with the labels in another order, or
with another of the usual preprocessings?
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgevit.core.outputs import OutputKind, class_scores
from edgevit.core.progress import Emit, Stage, Warn
from edgevit.core.results.report import Doubt
from edgevit.steps.doubts import words
from edgevit.steps.doubts.probe_preprocess import Alternative, probe
from edgevit.steps.run_float import run_float
from edgevit.validate.statistics import wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats, Pixels, Preprocess, TorchModel
    from edgevit.validate.label_order import Order

    Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Doubts about the float model, and what is only worth a warning."""

    doubts: tuple[Doubt, ...] = ()
    warnings: tuple[str, ...] = ()


def diagnose(
    model: TorchModel,
    kind: OutputKind,
    outputs: Floats,
    pixels: Pixels,
    labels: Classes,
    emit: Emit,
) -> Diagnosis:
    """Look for all three; each doubt is told at once, so that nobody waits for files that say nothing.

    Args:
        kind: of its first output, which decides between classes.
        outputs: that output on the images, float32 (N, ...).
        pixels: the images, uint8 (N, height, width, 3).
        labels: class indices, int64 (N,).
    """
    import numpy as np

    from edgevit.validate.chance import guessing, standing
    from edgevit.validate.label_order import find_order

    scores = class_scores(outputs, kind)
    n, classes = scores.shape
    if classes < 2:
        return Diagnosis()
    names = model.spec.labels
    predicted = np.asarray(scores.argmax(axis=1), np.int64)
    right, guesses = int((predicted == labels).sum()), guessing(predicted, labels, classes)
    stands = standing(right, n, guesses)
    order = find_order(predicted, labels, classes, names)

    def run(preprocess: Preprocess, some: Pixels) -> NDArray[np.float64]:
        other = replace(model, spec=replace(model.spec, preprocess=preprocess))
        return class_scores(next(iter(run_float(other, some).values())), kind)

    def probed(meaning: Classes) -> Alternative | None:
        right = meaning[predicted] == labels
        return probe(run, pixels, _answers(meaning, labels), right, model.spec.preprocess)

    emit(Stage("trying other preprocessings"))
    other = probed(np.arange(classes))
    if order is not None and other is not None:
        order, other = _better(order, n, other)
    under = order if other is None else None
    if under is not None:
        other = probed(np.asarray(under.meaning))
    doubts = []
    if stands == "not above":
        explained = order is not None or other is not None
        doubts.append(words.no_better(right, n, guesses, explained))
    if order is not None:
        doubts.append(words.other_order(order, right, n, names))
    if other is not None:
        doubts.append(words.other_preprocess(other, under))
    for doubt in doubts:
        emit(Warn(doubt.text))
    few = (words.too_few(right, n, guesses),) if stands == "undecided" else ()
    return Diagnosis(tuple(doubts), few)


def _better(order: Order, n: int, other: Alternative) -> tuple[Order | None, Alternative | None]:
    """What explains the answers better: exchanged colours look like exchanged labels. Both, if as well."""
    by_order = wilson_interval(order.right, n)
    by_other = wilson_interval(other.right, other.images)
    if by_order[1] < by_other[0]:
        return None, other
    return (order, None) if by_other[1] < by_order[0] else (order, other)


def _answers(meaning: Classes, labels: Classes) -> Classes:
    """For each image the answer that means its label; -1 where none does."""
    import numpy as np

    found = np.full(len(meaning), -1)
    answers = np.flatnonzero(meaning >= 0)
    found[meaning[answers]] = answers
    return np.asarray(found[labels])
