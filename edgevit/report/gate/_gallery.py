"""The images whose answer changed, each once with what all files say, worst first."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgevit.core.results.gate import Flip, GateReport

_RANKS: Final = {"lost": 0, "other": 1, "gained": 2}
# The first bytes of the formats that every browser shows; of WebP four say how long it is.
_KINDS: Final = (
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "webp"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What one file says of an image; `file` is its place among the files of the gallery."""

    file: int
    subject: str
    flip: Flip


@dataclass(frozen=True, slots=True)
class Card:
    """One image.

    Attributes:
        flip: what is the same for all files: name, label, what the float model says.
        picture: as an address that holds it; "" where there is none.
    """

    flip: Flip
    said: tuple[Said, ...]
    picture: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """All cards, and the files to choose from with how many images each has."""

    files: tuple[tuple[str, int], ...]
    cards: tuple[Card, ...]

    @property
    def has_pictures(self) -> bool:
        """Whether any card has one; without, no place is kept for them."""
        return any(card.picture for card in self.cards)


def gallery(report: GateReport, pictures: Mapping[int, bytes]) -> Gallery:
    """The images that the report names.

    Args:
        pictures: index of an image -> JPEG, PNG or WebP.

    Raises:
        ValueError: bytes of another kind.
    """
    shown = [flips for flips in report.flips if flips.worst]
    said: dict[int, list[Said]] = {}
    for file, flips in enumerate(shown):
        for flip in flips.worst:
            said.setdefault(flip.index, []).append(Said(file, flips.subject, flip))
    cards = [
        Card(found[0].flip, tuple(found), _address(pictures[index]) if index in pictures else "")
        for index, found in said.items()
    ]
    cards.sort(key=_badness)
    return Gallery(tuple((flips.subject, len(flips.worst)) for flips in shown), tuple(cards))


def _badness(card: Card) -> tuple[int, float, int]:
    """Lost before other before gained; then those first of which the float model is surest."""
    return min(_RANKS[said.flip.change] for said in card.said), -card.flip.margin, card.flip.index


def _address(picture: bytes) -> str:
    kind = next((name for start, name in _KINDS if start.match(picture)), None)
    if kind is None:
        raise ValueError(f"neither JPEG, PNG nor WebP: {picture[:8]!r}")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
