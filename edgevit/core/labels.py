"""Class names from a text file."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.errors import InputError
from edgevit.core.regular import regular_file


def read_labels(path: Path) -> tuple[str, ...]:
    """Read `--labels FILE`: UTF-8, one class name a line, in index order; a last empty line is ignored.

    Raises:
        InputError: missing, not UTF-8, empty, or with an empty line in between.
    """
    try:
        lines = regular_file(path, "labels file").read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"labels file {path} is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error
    except OSError as error:
        raise InputError(f"labels file {path} cannot be read: {error.strerror}") from error
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
