"""Blocks of Markdown within a number of bytes: those that come first are kept, and it is said what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_CUT: Final = "\n*Cut here: {left} of {total} {what} and all that follows would exceed {limit:,} bytes.*\n"
_ROOM: Final = 160  # for that sentence, which stands there once


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one kind with what stands before and behind them, all of whole lines.

    Attributes:
        what: the rows in the plural, for the sentence about what was left out; at most 40 characters.
        rows: at least one.
    """

    what: str
    rows: Sequence[str]
    head: str = ""
    tail: str = ""

    def first(self, count: int) -> str:
        """With so many rows; nothing at all without any."""
        return "".join((self.head, *self.rows[:count], self.tail)) if count else ""


def join(blocks: Sequence[Block], limit: int) -> str:
    """All of it, or as many rows as fit, in order, and a sentence that says what was left out.

    Returns:
        At most `limit` bytes of UTF-8; "" where not even that sentence fits.
    """
    whole = "".join(block.first(len(block.rows)) for block in blocks)
    if _bytes(whole) <= limit:
        return whole
    made, room = "", limit - _ROOM
    for block in blocks:
        kept = _fitting(block, room)
        made += block.first(kept)
        room -= _bytes(block.first(kept))
        left, total = len(block.rows) - kept, len(block.rows)
        if left:
            made += _CUT.format(left=left, total=total, what=block.what, limit=limit)
            break
    return made if _bytes(made) <= limit else ""


def _fitting(block: Block, room: int) -> int:
    room -= _bytes(block.head) + _bytes(block.tail)
    for kept, row in enumerate(block.rows):
        room -= _bytes(row)
        if room < 0:
            return kept
    return len(block.rows)


def _bytes(text: str) -> int:
    return len(text.encode())
