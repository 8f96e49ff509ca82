"""Whatever goes wrong while a user's file is read is the file's fault, and is told in the file's name."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edgevit.core.errors import EdgevitError, InputError, StepError
from edgevit.core.foreign import brief

P = ParamSpec("P")
R = TypeVar("R")

# Mistakes that no file can cause: they are ours, and keep their own name and trace.
_OURS = (NameError, NotImplementedError, MemoryError)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def reading(path: Path | str, what: str, hint: str = "") -> Iterator[None]:
    """Parse `path` within it: each exception of a parser becomes an `InputError`, with its cause attached.

    Only what reads the file belongs into the block. Parsers raise a dozen unrelated classes for a
    damaged file (KeyError, struct.error, RecursionError, classes of their own), so all are taken.

    Args:
        what: what the file should be, as in "is not a readable WHAT".

    Raises:
        InputError: anything but an `EdgevitError`, lack of memory, or a mistake of ours.
    """
    try:
        yield
    except (EdgevitError, *_OURS):
        raise
    except OSError as error:
        if error.errno is None:  # Pillow's and zipfile's: about the content
            raise InputError(f"{path} is not a readable {what}: {brief(error)}", hint) from error
        raise InputError(f"cannot read {path}: {os.strerror(error.errno)}", hint) from error
    except Exception as error:
        raise InputError(f"{path} is not a readable {what}: {brief(error)}", hint) from error


def reads(
    what: str, hint: str = ""
) -> Callable[[Callable[Concatenate[Path, P], R]], Callable[Concatenate[Path, P], R]]:
    """Mark a function that reads the file of its first argument; see `reading`."""

    def mark(function: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
        @functools.wraps(function)
        def marked(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with reading(path, what, hint):
                return function(path, *args, **kwargs)

        return marked

    return mark


@contextmanager
def executing(path: Path | str, by: str) -> Iterator[None]:
    """Execute a file that was read within it: an exception of the runtime `by` names the file.

    Raises:
        StepError: anything but an `EdgevitError`, lack of memory, or a mistake of ours.
    """
    try:
        yield
    except (EdgevitError, *_OURS):
        raise
    except Exception as error:
        raise StepError(
            f"{by} cannot execute {path}: {brief(error)}", "run again with -v for the whole trace"
        ) from error


def read_bytes(path: Path, what: str, limit: int, hint: str = "") -> bytes:
    """The whole of a file that has to be small; a pipe, a device or a folder is refused before it is read.

    Raises:
        InputError: missing, no regular file, or more than `limit` bytes.
    """
    with reading(path, what, hint):
        # Without O_NONBLOCK, opening a pipe waits for somebody to write.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(handle).st_mode
            kind = next((name for test, name in _KINDS if test(mode)), None)
            if kind is not None:
                raise InputError(f"{path} is {kind}, not a {what}", hint or "give a file")
            with open(handle, "rb", closefd=False) as file:
                content = file.read(limit + 1)
        finally:
            os.close(handle)
    if len(content) > limit:
        raise InputError(f"{path} has more than {limit >> 20} MiB, too much for a {what}", hint)
    return content
