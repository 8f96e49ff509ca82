"""From the outputs of a model or a file to what it answered for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.decibels import sqnr_db
from edgevit.core.outputs import OutputKind, class_scores
from edgevit.core.results.outcomes import Answers, pack_bits, pack_floats, pack_indices
from edgevit.validate.metrics._pairs import right

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats

_TINY: Final = 1e-30  # a probability of 0 is one that float32 could not hold


def class_answers(
    outputs: Floats, labels: NDArray[np.int64] | None, kind: OutputKind, target: str = "", precision: str = ""
) -> Answers:
    """The class of each image, whether it is right, and by how much it leads.

    Args:
        outputs: float32 (N, classes) or (N,) of a binary output.
        labels: int64 (N,); None where the images have none.
        kind: what the outputs are; one that decides something.
    """
    scores = class_scores(outputs, kind)
    return Answers(
        target=target,
        precision=precision,
        answer=pack_indices(scores.argmax(axis=1)),
        correct=None if labels is None else pack_bits(right(scores, labels, 1)),
        top5=None if labels is None else pack_bits(right(scores, labels, 5)),
        margin=pack_floats(margins(outputs, kind)),
    )


def feature_answers(
    reference: Floats, outputs: Floats | None, target: str = "", precision: str = ""
) -> Answers:
    """SQNR of each image of an output without classes, float32 (N, ...); nothing for the float model itself."""
    import numpy as np

    if outputs is None:
        return Answers(target=target, precision=precision)
    wanted, found = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (reference, outputs))
    signal, noise = np.square(wanted).sum(axis=1), np.square(wanted - found).sum(axis=1)
    decibels = np.array([sqnr_db(float(s), float(n)) for s, n in zip(signal, noise, strict=True)])
    return Answers(target=target, precision=precision, sqnr_db=pack_floats(decibels))


def margins(outputs: Floats, kind: OutputKind) -> NDArray[np.float64]:
    """By how much the best class leads the second one, in logits, (N,).

    A difference of two logits is the logarithm of the ratio of their probabilities, so that outputs behind a softmax
    or a sigmoid give the same. Of a multi-label output it is the distance of the least certain label from its border.
    Of an image with NaN or infinity among its scores it is 0.
    """
    import numpy as np

    scores = class_scores(outputs, kind)
    if kind.task == "multi-label":
        logits = scores if kind.activation == "none" else _logit(scores)
        found = np.abs(logits).min(axis=1)
    elif scores.shape[1] < 2:
        return np.zeros(len(scores))
    else:
        if kind.activation in ("softmax", "sigmoid"):
            scores = np.log(np.maximum(scores, _TINY))
        best = np.partition(scores, -2, axis=1)[:, -2:]
        found = best[:, 1] - best[:, 0]
    return np.asarray(np.where(np.isfinite(scores).all(axis=1), found, 0.0))


def _logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(np.log(np.maximum(share, _TINY)) - np.log(np.maximum(1 - share, _TINY)))
