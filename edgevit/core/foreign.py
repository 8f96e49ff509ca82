"""Text that others wrote (labels, names, paths, messages of libraries), made fit for a terminal or a page.

A terminal obeys the control characters of what it shows, and a reader cannot see the invisible ones:
`printable` writes both as escapes. `json_text` does so where JSON readers undo it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

# Format characters that are drawn: Arabic, Syriac and Kaithi number signs and marks.
_DRAWN: Final = frozenset(
    map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD))
)
# Letters and marks without any shape: joiners and fillers of Hangul, Khmer vowels, the braille blank.
_SHAPELESS: Final = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS: Final = "\u200c\u200d"
_FIRST_JOINED: Final = "\u0590"  # Scripts that join their letters, and emoji, all come after it.
_LONGEST: Final = 240


def printable(text: str, lines: bool = False) -> str:
    r"""`text` in which nothing controls a terminal, hides, or turns the order of writing around.

    Control and format characters, line and paragraph separators, lone surrogates and invisible letters
    become `\x1b`, `\n`, `\u202e`, `\U000e0041`. Letters, marks and symbols of all scripts stay, and so do the
    joiners that Persian, Indic scripts and emoji need between two of their own characters.

    Args:
        lines: line feeds and tabs stay, for what has several lines, such as a trace.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if (lines and char in "\n\t") or _is_visible(text, at) else _escape(char)
        for at, char in enumerate(text)
    )


def json_text(data: object, indent: int | None = None) -> str:
    r"""JSON that is safe to print and to encode; what `printable` would escape stands as `\uXXXX`.

    Raises:
        ValueError: a number that is not finite.
    """
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    if text.isascii() and "\x7f" not in text:
        return text
    # Between the strings there is only ASCII, and line feeds of the indentation; within them, no raw one.
    return re.sub(r"[^\x20-\x7e\n]", lambda found: _json_escape(text, found.start()), text)


def brief(error: BaseException) -> str:
    """What an exception of a library says, in one short line for a person who does not know the library."""
    known = _KNOWN.get(type(error).__name__)
    if known is not None:
        return known
    if isinstance(error, KeyError):
        return f"{str(error)[:80]} in it is missing or unknown"
    if "allow_pickle" in str(
        error
    ):  # NumPy, which takes whatever is not its own for a pickle, and says how to run it
        return "it is no file of NumPy's, or holds Python objects instead of numbers"
    if isinstance(error, UnicodeError):
        return "text in it is not valid Unicode"
    lines = (_plain(line) for line in str(error).splitlines())
    first = next((line for line in lines if line), "")
    if not first:
        return "its structure is damaged"
    return first if len(first) <= _LONGEST else f"{first[:_LONGEST].rstrip()} ..."


# Exceptions that say where a parser stumbled, not what is wrong with the file.
_KNOWN: Final = {
    "AssertionError": "its structure is damaged",
    "AttributeError": "its structure is damaged",
    "EOFError": "it ends too early",
    "IndexError": "its structure is damaged",
    "OverflowError": "a number in it is out of range",
    "RecursionError": "it is nested too deeply",
    "TypeError": "its structure is damaged",
    "UnboundLocalError": "its structure is damaged",
    "ZeroDivisionError": "a size in it is zero",
    "error": "its structure is damaged",  # struct.error, zlib.error
}
# Marks of ONNX Runtime, the class of an error within an error, places in the source of a library.
_NOISE: Final = (
    r"^\[\w+\] : \d+ : \w+ : ",
    r"^Load model from \S* failed:",
    r"^\w+(?:\.\w+)*(?:Error|Exception): ",
    r"(?:/[\w.-]+)+\.(?:cc|cpp|h|hpp|py):\d+:?(?: \w[\w:<>~ ]*\([^)]*\))?:?",
)


def _plain(line: str) -> str:
    for noise in _NOISE:
        line = re.sub(noise, "", line.strip())
    return " ".join(line.split()).strip(" .:")


def _is_visible(text: str, at: int) -> bool:
    char = text[at]
    if char in _JOINERS:
        around = text[max(at - 1, 0) : at] + text[at + 1 : at + 2]
        return len(around) == 2 and min(around) >= _FIRST_JOINED and _is_drawn(around)
    return _is_drawn(char)


def _is_drawn(chars: str) -> bool:
    return all(
        char == " "
        or char in _DRAWN
        or (unicodedata.category(char)[0] in "LMNPS" and char not in _SHAPELESS)
        or unicodedata.category(char) in ("Zs", "Co")
        for char in chars
    )


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(text: str, at: int) -> str:
    return text[at] if _is_visible(text, at) else json.dumps(text[at])[1:-1]
