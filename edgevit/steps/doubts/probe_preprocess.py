"""Would the float model be right clearly more often with another colour order or normalisation?

The images, their size and crop stay. Every alternative runs on a few images first; those that are no
worse than what was given run on more. A model with the right preprocessing costs some 300 forward passes
of single images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.types import Preprocess
from edgevit.steps.doubts.alternatives import alternatives

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

    Right = NDArray[np.bool_]
    # Preprocess, uint8 pixels (N, height, width, 3) -> score of each class, (N, classes)
    Scores = Callable[[Preprocess, Pixels], NDArray[np.floating[Any]]]

IMAGES: Final = 256
FIRST: Final = 32
_LAST: Final = 3
# At least so much, as a share of the images, has to be gained for sure.
CLEARLY: Final = 0.02


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another preprocessing that makes the float model right clearly more often.

    Attributes:
        flags: what the command has to say, each as one text.
        images: on which it was compared with what was given.
        given, right: how many of them are right, as given and with it.
        ahead: flags that are right on more of them, though not on so many more that these images prove it, and
            on how many.
    """

    flags: tuple[str, ...]
    images: int
    given: int
    right: int
    ahead: tuple[tuple[tuple[str, ...], int], ...] = ()


def probe(
    scores: Scores, pixels: Pixels, labels: NDArray[np.int64], right: Right, given: Preprocess
) -> Alternative | None:
    """The alternative that is best of those that are clearly better, or None.

    Of several that do equally well, as far as these images tell, the one that changes least and is most usual.

    Args:
        scores: runs the float model.
        pixels: uint8 (N, height, width, 3), before colour order and normalisation.
        labels: the column of `scores` that is right for each image, -1 for none; int64 (N,).
        right: with the given preprocessing, for each image; bool (N,).
    """
    import numpy as np

    from calibration.load import evenly
    from edgevit.validate.gain import surely_gained

    chosen = np.asarray(evenly(len(pixels), IMAGES))
    pixels, labels, before = pixels[chosen], labels[chosen], right[chosen]
    others = alternatives(given, "--preprocess", grey=_grey(pixels))
    if surely_gained(before, np.ones_like(before), len(others)) <= CLEARLY:
        return None  # there is not enough left to gain
    first = np.asarray(evenly(len(chosen), FIRST))
    ranks = {f: _ranks(scores(one, pixels[first]), labels[first]) for f, one in others.items()}
    hopeful = [flags for flags, found in ranks.items() if (found == 0).sum() >= before[first].sum()]
    last = sorted(hopeful, key=lambda flags: float(np.log1p(ranks[flags]).mean()))[:_LAST]
    rest = np.setdiff1d(np.arange(len(chosen)), first)
    better: dict[tuple[str, ...], Right] = {}
    for flags in (found for found in others if found in last):
        after = np.empty_like(before)
        after[first] = ranks[flags] == 0
        if len(rest):
            after[rest] = _ranks(scores(others[flags], pixels[rest]), labels[rest]) == 0
        if surely_gained(before, after, len(others)) > CLEARLY:
            better[flags] = after
    if not better:
        return None
    most = max(better.values(), key=lambda after: int(after.sum()))
    flags = next(f for f, after in better.items() if surely_gained(after, most, len(others)) <= 0)
    totals = {f: int(after.sum()) for f, after in better.items()}
    ahead = sorted((item for item in totals.items() if item[1] > totals[flags]), key=lambda item: -item[1])
    return Alternative(flags, len(chosen), int(before.sum()), totals[flags], tuple(ahead))


def _grey(pixels: Pixels) -> bool:
    return bool((pixels[..., :1] == pixels).all())


def _ranks(scores: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many scores are ahead of the label's own, as for top-1; all of them where a score is not finite."""
    import numpy as np

    n, classes = scores.shape
    own = scores[np.arange(n), labels][:, None]
    ahead = (scores > own) | ((scores == own) & (np.arange(classes) < labels[:, None]))
    usable = np.isfinite(scores).all(axis=1) & (labels >= 0)
    return np.asarray(np.where(usable, ahead.sum(axis=1), classes))
