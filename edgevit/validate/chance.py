"""Does a classifier know its labels, or is it right as often as anyone who guesses?

Guessing means: the same answers, dealt out to the images at random. That is Cohen's chance agreement
(J. Cohen, Educational and Psychological Measurement 20, 37-46, 1960). It is not simply one in as many
classes: a model that always gives the most frequent label is right that often without looking, and of a
thousand classes the images may show ten. How the number of right answers scatters from deal to deal is
known exactly (the moments of a permutation statistic), also for labels of very different frequency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal

from edgevit.validate.statistics import CONFIDENCE, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Classes = NDArray[np.int64]

# Images of other labels than the most frequent one; with fewer, answers dealt out anew are nearly the same.
FEWEST: Final = 5
_ROUNDING: Final = 1e-9

Standing = Literal["above", "not above", "undecided"]


@dataclass(frozen=True, slots=True)
class Guessing:
    """Shares, 0 to 1, that guesses are right: on average, and in 95 of 100 cases between these."""

    expected: float
    low: float
    high: float


def guessing(predicted: Classes, labels: Classes, classes: int) -> Guessing:
    """How often the same answers would be right if they were dealt out to the images at random.

    Where hardly any image shows another label than the most frequent one, such a deal says nothing;
    there it is how often one class of `classes` is right by luck.

    Args:
        predicted, labels: class indices below `classes`, int64 (N,).
        classes: that the model tells apart.

    Raises:
        ValueError: no images, fewer than two classes, or an index that is none of them.
    """
    import numpy as np

    n = len(labels)
    if n == 0 or len(predicted) != n or classes < 2:
        raise ValueError(f"{len(predicted)} answers for {n} labels of {classes} classes")
    if min(labels.min(), predicted.min()) < 0 or max(labels.max(), predicted.max()) >= classes:
        raise ValueError(f"a label or an answer is none of the {classes} classes")
    shown = np.bincount(labels, minlength=classes).astype(float)
    if n - shown.max() < FEWEST:
        return _around(1 / classes, math.sqrt((1 - 1 / classes) / classes / n))
    answered = np.bincount(predicted, minlength=classes).astype(float)
    matches = answered * shown
    squares = (matches * ((n - answered) * (n - shown) - matches)).sum() + matches.sum() ** 2
    variance = squares / (n * n * (n - 1))
    return _around(float(matches.sum()) / n**2, math.sqrt(max(float(variance), 0.0)) / n)


def standing(right: int, n: int, guesses: Guessing) -> Standing:
    """Whether `right` of n images are more than guesses are.

    `not above` needs images enough to tell: their interval has to leave out every accuracy in the
    upper half of what lies between guessing and always being right.
    """
    if right > n * guesses.high + _ROUNDING:
        return "above"
    upper = wilson_interval(right, n)[1]
    return "not above" if n >= FEWEST and upper < (1 + guesses.expected) / 2 else "undecided"


def _around(mean: float, deviation: float) -> Guessing:
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return Guessing(mean, max(mean - z * deviation, 0.0), min(mean + z * deviation, 1.0))
