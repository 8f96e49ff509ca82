"""JSON and TOML that others wrote, read within limits: size, depth, length of numbers, and nothing twice."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edgevit.core.disk.reading import read_bytes
from edgevit.core.errors import InputError
from edgevit.core.foreign import brief

SIZE: Final = 16 << 20  # bytes of a file
DEPTH: Final = 64  # objects and arrays within each other
DIGITS: Final = 40  # of one whole number: more than 64 bits need, few enough for a float

_TOO_LONG: Final = f"a number in it has more than {DIGITS} digits"

# Strings and comments are skipped, so that what is left are the brackets of the document itself.
_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_TOML: Final = re.compile(
    r'#[^\n]*|"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?|[\[\]{}]', re.DOTALL
)


def read_json(path: Path, what: str, hint: str = "", limit: int = SIZE) -> dict[str, object]:
    """The JSON object that a file holds; UTF-8, with or without a byte order mark.

    Args:
        what: what messages call the file, such as "manifest".
        limit: bytes.

    Raises:
        InputError: missing, no regular file, too large, or as `parse_json`.
    """
    found = parse_json(read_bytes(path, what, limit, hint), f"{what} {path}", hint)
    if not isinstance(found, dict):
        raise InputError(f"{what} {path}: expected an object", hint)
    return found


def parse_json(content: bytes | str, where: str, hint: str = "", finite: bool = True) -> object:
    """A JSON text as plain data.

    Args:
        where: what messages call the text, as in "WHERE is not JSON".
        finite: refuse NaN and infinity here; False where the caller names the value that is one.

    Raises:
        InputError: no JSON, a key that stands twice in an object, NaN or infinity, a number of more than
            `DIGITS` digits, or objects and arrays more than `DEPTH` deep.
    """
    text = _text(content, where, hint)
    _check_depth(_JSON, text, where, hint)
    try:
        return json.loads(
            text,
            parse_int=_whole,
            parse_float=_finite if finite else float,
            parse_constant=_finite if finite else float,
            object_pairs_hook=_once,
        )
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {brief(error)}", hint) from error


def read_toml(path: Path, what: str, hint: str = "", limit: int = 1 << 20) -> dict[str, object]:
    """The table that a TOML file holds.

    Raises:
        InputError: missing, no regular file, too large, no TOML, a number of more than `DIGITS` digits, or
            tables and arrays more than `DEPTH` deep.
    """
    where = f"{what} {path}"
    text = _text(read_bytes(path, what, limit, hint), where, hint)
    _check_depth(_TOML, text, where, hint)
    try:
        found = tomllib.loads(text, parse_float=_finite)
    except ValueError as error:
        raise InputError(f"{where} is not TOML: {brief(error)}", hint) from error
    # a.b.c = 1 nests without brackets, and 0xffff has no digits to count.
    depth = 0
    level: list[object] = [found]
    while level:
        depth += 1
        if depth > DEPTH:
            raise _too_deep(where, hint)
        if any(isinstance(value, int) and abs(value) >= 10**DIGITS for value in level):
            raise InputError(f"{where} is not TOML that is read: {_TOO_LONG}", hint)
        level = [inner for outer in level for inner in _inner(outer)]
    return found


def _text(content: bytes | str, where: str, hint: str) -> str:
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {error.start})", hint) from error


def _check_depth(tokens: re.Pattern[str], text: str, where: str, hint: str) -> None:
    """Before the parser runs, which calls itself for each level."""
    depth = 0
    for found in tokens.finditer(text):
        first = found[0]
        depth += (first in ("[", "{")) - (first in ("]", "}"))
        if depth > DEPTH:
            raise _too_deep(where, hint)


def _too_deep(where: str, hint: str) -> InputError:
    return InputError(f"{where} is nested more than {DEPTH} levels deep", hint)


def _inner(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _whole(text: str) -> int:
    if len(text) > DIGITS + 1:
        raise ValueError(_TOO_LONG)
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found
