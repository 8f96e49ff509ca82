"""Regressions that sit in one class or one folder, and that the whole set does not show.

Looking at a thousand classes finds something by chance. So the images are divided in two halves by a hash of their
names. One half proposes: of each file the few slices with the strongest evidence. The other half, which had no part in
that, confirms: only what is significant there too, by Holm's procedure over all that was proposed, counts. In each half
the p value is the larger of two: the exact sign test, that images are lost rather than gained (which holds for any
number of images), and the score test that the slice's drop is above the limit (what the policy allows is no finding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.results.gate import Check
from edgevit.validate.gate.accuracy import SLICES_ALPHA, Compared
from edgevit.validate.gate.sides import Seen
from edgevit.validate.regression import Pairs, holm, p_of_drop

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PROPOSED: Final = 5  # slices of one file that go on to the other half
_LEAST_P: Final = 0.01  # of the first half
_LEAST_IMAGES: Final = 10  # of a slice, in each half
_MOST_SHARE: Final = 0.9  # of all images; a larger slice is the whole set


@dataclass(frozen=True, slots=True)
class Slice:
    """Images that belong together: `members` are their indices, (n,)."""

    by: Literal["class", "folder"]
    name: str
    members: NDArray[np.intp]


def slice_checks(compared: Sequence[Compared], seen: Seen, classes: Sequence[str]) -> Iterator[Check]:
    """One regression for each slice that was found and confirmed."""
    slices = tuple(slices_of(seen, classes))
    proposing = half(seen.names)
    proposed = []
    for one in compared:
        if one.kind != "accuracy":
            continue
        found = [(_p(one, part, proposing), part) for part in slices]
        found = sorted((entry for entry in found if entry[0] <= _LEAST_P), key=lambda entry: entry[0])
        proposed += [(one, part) for _, part in found[:_PROPOSED]]
    confirmed = holm([_p(one, part, ~proposing) for one, part in proposed], SLICES_ALPHA)
    for (one, part), holds in zip(proposed, confirmed, strict=True):
        if not holds:
            continue
        before, now = (100 * float(values[part.members].mean()) for values in (one.before, one.now))
        pairs = _pairs(one, part.members)
        what = f"the class {part.name!r}" if part.by == "class" else f"the folder {part.name!r}"
        yield Check(
            subject=one.subject,
            kind="slice",
            part=f"{part.by} {part.name!r}",
            outcome="regressed",
            reason=f"{what} fell from {before:.1f} % to {now:.1f} %, {pairs.lost} images lost and "
            f"{pairs.gained} gained of {pairs.n:,}; found on one half of the images, confirmed on the other",
            old=before,
            new=now,
            unit="%",
            limit=one.margin,
            change=before - now,
            n=pairs.n,
        )


def slices_of(seen: Seen, classes: Sequence[str]) -> Iterator[Slice]:
    """Every class and every folder at any depth, those with the same images once."""
    known: set[bytes] = set()
    for part in (*_classes(seen, classes), *_folders(seen.names)):
        mark, count = part.members.tobytes(), len(part.members)
        if mark not in known and 2 * _LEAST_IMAGES <= count <= _MOST_SHARE * len(seen.names):
            known.add(mark)
            yield part


def half(names: Sequence[str]) -> NDArray[np.bool_]:
    """Which images propose: about one in two, the same ones in every run; bool (N,)."""
    import numpy as np

    return np.array(
        [hashlib.sha256(name.encode(errors="replace")).digest()[0] % 2 == 0 for name in names], bool
    )


def _classes(seen: Seen, classes: Sequence[str]) -> Iterator[Slice]:
    import numpy as np

    if seen.labels is None:
        return
    for index in np.unique(seen.labels):
        name = classes[index] if 0 <= index < len(classes) else str(index)
        yield Slice("class", name, np.flatnonzero(seen.labels == index))


def _folders(names: Sequence[str]) -> Iterator[Slice]:
    import numpy as np

    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            members.setdefault("/".join(parts[:depth]), []).append(index)
    for folder, indices in members.items():
        yield Slice("folder", folder, np.array(indices))


def _pairs(one: Compared, members: NDArray[np.intp]) -> Pairs:
    before, now = one.before[members], one.now[members]
    return Pairs(int((before & ~now).sum()), int((now & ~before).sum()), len(now))


def _p(one: Compared, part: Slice, among: NDArray[np.bool_]) -> float:
    """The larger of both p values; 1 for too few images."""
    pairs = _pairs(one, part.members[among[part.members]])
    if pairs.n < _LEAST_IMAGES or pairs.lost <= pairs.gained:
        return 1.0
    return max(sign_p(pairs.lost, pairs.gained), p_of_drop(pairs, one.margin / 100))


def sign_p(lost: int, gained: int) -> float:
    """One-sided exact p value that images are as likely lost as gained (McNemar): at least `lost` of both."""
    n = lost + gained
    return float(sum(comb(n, k) for k in range(lost, n + 1)) / 2**n)
