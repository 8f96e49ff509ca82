"""Class names from a text file, or from the JSON that a converted file carries."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.documents import SIZE, parse_json
from edgevit.core.errors import InputError
from edgevit.core.reading import read_bytes


def read_labels(path: Path) -> tuple[str, ...]:
    """Read `--labels FILE`: UTF-8, one class name a line, in index order; a last empty line is ignored.

    Raises:
        InputError: missing, not UTF-8, empty, or with an empty line in between.
    """
    try:
        lines = read_bytes(path, "labels file", SIZE).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"labels file {path} is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"labels file {path} is empty", "write one class name a line, in index order")
    if "" in names:
        raise InputError(
            f"labels file {path}: line {names.index('') + 1} is empty, so the classes would shift"
        )
    return tuple(names)


def parse_labels(content: str | bytes, path: Path) -> tuple[str, ...]:
    """The class names that the converted file `path` carries as a JSON list.

    Raises:
        InputError: no JSON list of texts.
    """
    where = f"{path}: the text of its labels"
    found = parse_json(content, where)
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise InputError(f"{where} is not a list of names")
    return tuple(found)
