"""Do the labels stand in another order than the model's? Told from its answers on labelled images.

The orders that are usual are held against the images as they are. Any other one has to be found first,
by the assignment of answers to labels that makes most of them right (H. W. Kuhn, Naval Research Logistics
Quarterly 2, 83-97, 1955), and the best of all assignments looks good even where there is nothing to find.
It is therefore fitted on one half of the images and judged on the other, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.validate.gain import surely_gained
from edgevit.validate.usual_orders import NOBODY, usual_orders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Classes = NDArray[np.int64]
    Right = NDArray[np.bool_]

# Of the images whose label would get another place, so much larger a share has to be right.
CLEARLY: Final = 0.1
# An answer is given another meaning if it is given to so many images of that label, and ...
_TIMES: Final = 2
# ... the table of labels and answers, which is held as a whole, has no more rows or columns.
_MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class Order:
    """An order of the labels under which clearly more answers are right.

    Attributes:
        words: such as `in reverse order`, to be read after "with the labels".
        meaning: for each answer of the model the label that it means; NOBODY for none.
        right: images that are right under it; for an order that had to be found, each judged by what
            the other half of the images gave.
        examples: (label, what the model answers for it), the first few that differ and are shown.
    """

    words: str
    meaning: tuple[int, ...]
    right: int
    examples: tuple[tuple[int, int], ...]


def find_order(predicted: Classes, labels: Classes, classes: int, names: Sequence[str] = ()) -> Order | None:
    """The order that explains the answers clearly better than the given one, or None.

    Args:
        predicted, labels: class indices below `classes`, int64 (N,).
        names: of the labels in the given order; empty if unknown.
    """
    import numpy as np

    usual = {words: np.asarray(order) for words, order in usual_orders(classes, names).items()}
    tried = len(usual) + 1
    best: tuple[str, Classes, Right] | None = None
    for words, meaning in usual.items():
        after = meaning[predicted] == labels
        clear = _clear(predicted == labels, after, _moved(meaning)[labels], tried)
        if clear and (best is None or after.sum() > best[2].sum()):
            best = words, meaning, after
    found = _find_any(predicted, labels, classes, tried)
    if found is not None and (best is None or _clear(best[2], found[2], _everywhere(labels), tried)):
        best = found
    if best is None:
        return None
    words, meaning, after = best
    return Order(words, tuple(meaning.tolist()), int(after.sum()), _examples(meaning, predicted, labels))


def _find_any(
    predicted: Classes, labels: Classes, classes: int, tried: int
) -> tuple[str, Classes, Right] | None:
    import numpy as np

    if max(len(np.unique(predicted)), len(np.unique(labels))) > _MOST:
        return None
    second = _second_half(labels)
    after, moved = predicted == labels, np.zeros(len(labels), bool)
    for judged in (second, ~second):
        meaning = _fit(predicted[~judged], labels[~judged], classes)
        after[judged] = meaning[predicted[judged]] == labels[judged]
        moved[judged] = _moved(meaning)[labels[judged]]
    if not _clear(predicted == labels, after, moved, tried):
        return None
    meaning = _fit(predicted, labels, classes)
    changed = int(_moved(meaning)[np.unique(labels)].sum())
    some = 0 < changed <= classes // 2
    return (
        f"in another order ({changed} of {classes} exchanged)" if some else "in another order",
        meaning,
        after,
    )


def _fit(predicted: Classes, labels: Classes, classes: int) -> Classes:
    """What each answer means so that most are right; where the images do not say, what was given."""
    import numpy as np

    from edgevit.core.require import require

    meaning = np.arange(classes)
    if not len(labels):
        return meaning
    shown, label_at = np.unique(labels, return_inverse=True)
    answers, answer_at = np.unique(predicted, return_inverse=True)
    table = np.zeros((len(shown), len(answers)), np.float32)
    np.add.at(table, (label_at, answer_at), 1)
    own = np.where(shown[:, None] == answers, table, 0).max(axis=1)
    # half an image for the given order, which only decides between equals
    row, column = require("scipy.optimize").linear_sum_assignment(
        table + 0.5 * (shown[:, None] == answers), maximize=True
    )
    count = table[row, column]
    kept = (count >= _TIMES) & (count >= _TIMES * own[row]) & (count == table.max(axis=1)[row])
    kept &= shown[row] != answers[column]
    meaning[np.isin(meaning, shown[row[kept]])] = NOBODY  # another answer has that label now
    meaning[answers[column[kept]]] = shown[row[kept]]
    return meaning


def _second_half(labels: Classes) -> Right:
    """Every other image of each label; the odd one of a label alternates from label to label."""
    import numpy as np

    order = np.argsort(labels, kind="stable")
    half = np.zeros(len(labels), bool)
    half[order[1::2]] = True
    return half


def _moved(meaning: Classes) -> Right:
    """Per label, whether it is no longer what the answer of its own index means."""
    import numpy as np

    return np.asarray(meaning != np.arange(len(meaning)))


def _clear(before: Right, after: Right, concerned: Right, tried: int) -> bool:
    some = bool(concerned.any())
    return some and surely_gained(before[concerned], after[concerned], tried) > CLEARLY


def _everywhere(labels: Classes) -> Right:
    import numpy as np

    return np.ones(len(labels), bool)


def _examples(
    meaning: Classes, predicted: Classes, labels: Classes, count: int = 3
) -> tuple[tuple[int, int], ...]:
    import numpy as np

    right = meaning[predicted] == labels
    pairs = np.unique(np.stack((labels[right], predicted[right]), axis=1), axis=0)
    return tuple((int(label), int(answer)) for label, answer in pairs if label != answer)[:count]
