"""Text of others within GitHub-flavoured Markdown: it shows as it is and does nothing."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from edgevit.core.foreign import printable

# What means something within a line of GitHub's Markdown (0.29-gfm, 6), or makes an address a link (6.9). A backslash
# before ASCII punctuation makes it plain text (2.4 of CommonMark).
_INLINE: Final = re.compile(r"[\\`*_\[\]<>&|~$:@#]|(?<=www)\.", re.IGNORECASE)
# What begins a list where a line begins; the other beginnings are among those above.
_BEGIN: Final = re.compile(r"^(\d*)([-+.)])")
# GitHub and GitLab look for @name, #12 and !12 in the text that Markdown has become, where no backslash is left.
_REFERENCES: Final = re.compile(r"(?<=[@#!])(?=\w)")
_ZERO_WIDTH: Final = "&#8203;"


def text(foreign: str) -> str:
    """For a cell of a table, or behind other words: no links, mentions, references, markup, HTML or new lines."""
    return _ZERO_WIDTH.join(_backslashes(part) for part in _REFERENCES.split(printable(foreign)))


def item(foreign: str) -> str:
    """For the beginning of a line, or of an entry of a list: the same, and it begins no other list."""
    return _BEGIN.sub(r"\1\\\2", text(foreign).lstrip())


def code(foreign: str) -> str:
    """For a name. GitHub and GitLab look for no mentions in code; backticks would not let a backtick be escaped."""
    return f"<code>{_backslashes(printable(foreign))}</code>"


def html(foreign: str) -> str:
    """For a line that begins with an HTML tag, which is not read as Markdown."""
    return escape(printable(foreign), quote=True)


def _backslashes(part: str) -> str:
    return _INLINE.sub(r"\\\g<0>", part)
