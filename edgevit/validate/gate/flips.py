"""Images whose answer is another one than in the baseline, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.results.baseline import Decoded
from edgevit.core.results.gate import FLOAT_MODEL, Flip, Flips
from edgevit.validate.gate.sides import Seen, Shipped
from edgevit.validate.statistics import wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Within this the float model finds its second answer at least 0.9 times as probable as its best: exp(-0.1).
HAIR: Final = 0.1
WORST: Final = 60  # of one file, in the report
Change = Literal["lost", "gained", "other"]
_ORDER: Final[tuple[Change, ...]] = ("lost", "other", "gained")


def find_flips(old: Shipped, new: Shipped, seen: Seen) -> Iterator[Flips]:
    """Of the float model and of every file on which both sides answered; `old` in the words of `new`."""
    yield from _of(FLOAT_MODEL, old.reference, new.reference, new, seen)
    for name, before in old.answers.items():
        now = new.answers.get(name)
        if now is not None:
            yield from _of(name, before, now, new, seen)


def _of(subject: str, before: Decoded, now: Decoded, new: Shipped, seen: Seen) -> Iterator[Flips]:
    import numpy as np

    margins = seen.margins
    if before.answer is None or now.answer is None or margins is None:
        return
    changed = np.flatnonzero(before.answer != now.answer)
    n = len(now.answer)
    kinds = [_kind(before, now, index) for index in changed]
    close = margins[changed] < HAIR
    low, high = wilson_interval(len(changed), n)
    order = sorted(
        range(len(changed)), key=lambda i: (_ORDER.index(kinds[i]), -float(margins[changed[i]]), i)
    )
    yield Flips(
        subject=subject,
        n=n,
        changed=len(changed),
        lost=kinds.count("lost"),
        gained=kinds.count("gained"),
        close=int(close.sum()),
        share_pct=100 * len(changed) / n,
        share_ci95=(100 * low, 100 * high),
        worst=tuple(
            Flip(
                image=seen.names[changed[i]],
                index=int(changed[i]),
                label=_label(seen.labels, changed[i], new.classes),
                float_answer=_word(new.reference.answer, changed[i], new.classes),
                old=_word(before.answer, changed[i], new.classes),
                new=_word(now.answer, changed[i], new.classes),
                change=kinds[i],
                margin=float(margins[changed[i]]),
                close=bool(close[i]),
            )
            for i in order[:WORST]
        ),
    )


def _kind(before: Decoded, now: Decoded, index: np.intp) -> Change:
    if before.correct is None or now.correct is None or before.correct[index] == now.correct[index]:
        return "other"
    return "lost" if before.correct[index] else "gained"


def _label(labels: NDArray[np.int64] | None, index: np.intp, classes: Sequence[str]) -> str | None:
    return None if labels is None or labels[index] < 0 else _word(labels, index, classes)


def _word(answers: NDArray[np.int64] | None, index: np.intp, classes: Sequence[str]) -> str:
    if answers is None:
        return ""
    answer = int(answers[index])
    if answer < 0:
        return "a class that is gone"
    return classes[answer] if answer < len(classes) else str(answer)
