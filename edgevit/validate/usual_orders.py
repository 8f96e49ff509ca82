"""Orders in which labels often stand where the model has another one, as what each answer would mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

NOBODY: Final = -1


def usual_orders(classes: int, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """What the order is called -> for each answer of the model the label that it means (NOBODY for none).

    Orders that come out the same, or as the given one, are left out.

    Args:
        classes: that the model tells apart.
        names: of the labels in the given order; empty if unknown.
    """
    seen = {tuple(range(classes))}
    found: dict[str, tuple[int, ...]] = {}
    for words, order in _all(classes, names):
        if order not in seen:
            seen.add(order)
            found[words] = order
    return found


def _all(classes: int, names: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    everyone = range(classes)
    yield "in reverse order", tuple(reversed(everyone))
    yield (
        "shifted by one (the model's first output is none of them: a background class)",
        (NOBODY, *everyone[:-1]),
    )
    yield "shifted by one (the model has no output for the first of them)", (*everyone[1:], NOBODY)
    # As folders named by numbers are listed: from 0, or from 1.
    for first, example in ((0, "0, 1, 10, 11, 2"), (1, "1, 10, 11, 2")):
        texts = [str(index + first) for index in everyone]
        as_text = sorted(everyone, key=texts.__getitem__)
        yield f"sorted as text, not as numbers ({example})", tuple(as_text)
        yield f"sorted as numbers, not as text ({example})", _inverse(as_text)
    if len(set(names)) == classes:
        for words, key in (("", str), (", large and small letters alike", str.casefold)):
            keys = [key(name) for name in names]
            sorted_names = sorted(everyone, key=keys.__getitem__)
            yield f"in alphabetical order{words}", tuple(sorted_names)
            yield f"numbered in alphabetical order on the images{words}", _inverse(sorted_names)


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    found = [0] * len(order)
    for place, index in enumerate(order):
        found[index] = place
    return tuple(found)
