"""stdout and stderr as people leave them: closed, full, without a reader, or unable to hold the text."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from edgevit.core.errors import StorageError


def mend() -> None:
    """Open closed standard streams on nothing.

    The next file that is opened would otherwise get the number of a closed stream, and be written to by
    whoever prints.
    """
    while True:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle > 2:
            os.close(handle)
            break
        os.set_inheritable(handle, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


class StdoutError(StorageError):
    """The disk behind stdout is full, so that no error can be told there either."""


@contextmanager
def stdout_errors() -> Iterator[None]:
    """Within it stdout is written to; when its reader has gone, what is left goes nowhere, quietly.

    Raises:
        StdoutError: the disk behind it is full.
    """
    try:
        yield
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise StdoutError(
            f"cannot write to stdout: {error.strerror}", "free some space, or send the output elsewhere"
        ) from error


def write(text: str) -> None:
    """Write to stdout; what it cannot encode is written as JSON escapes it, so that JSON stays JSON.

    Raises:
        StdoutError: the disk behind it is full.
    """
    with stdout_errors():
        sys.stdout.write(_encodable(text))
        sys.stdout.flush()


def say(text: str) -> None:
    """Write to stderr, if that is possible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Python tries again at its end, and leaves with a code of its own if that fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        known = set(text.encode(encoding, "ignore").decode(encoding))
        return "".join(c if c in known else json.dumps(c)[1:-1] for c in text)
    return text
