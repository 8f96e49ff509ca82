"""Whatever goes wrong while a user's file is read is the file's fault, and is told in the file's name."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import EdgevitError, InputError, StepError
from edgevit.core.foreign import brief

P = ParamSpec("P")
R = TypeVar("R")

# A misspelt name is a mistake of ours, and lack of memory one of nobody: both keep their own class.
_OURS = (NameError, MemoryError)


@contextmanager
def reading(
    path: Path | str, what: str, hint: str = "", passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Parse `path` within it: each exception of a parser becomes an `InputError`, with its cause attached.

    Only what reads the file belongs into the block. Parsers raise a dozen unrelated classes for a
    damaged file (KeyError, struct.error, RecursionError, classes of their own), so all are taken.

    Args:
        what: what the file should be, as in "is damaged or not a readable WHAT".
        passing: exceptions that the caller explains itself.

    Raises:
        InputError: anything but an `EdgevitError`, `MemoryError` or `NameError`.
    """
    try:
        yield
    except (EdgevitError, *_OURS):
        raise
    except passing:
        raise
    except OSError as error:
        if error.errno is None:  # Pillow's and zipfile's: about the content
            raise InputError(f"{path} is damaged or not a readable {what}: {brief(error)}", hint) from error
        raise InputError(f"cannot read {path}: {os.strerror(error.errno)}", hint) from error
    except Exception as error:
        raise InputError(f"{path} is damaged or not a readable {what}: {brief(error)}", hint) from error


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
def executing(
    path: Path | str, by: str, more: Callable[[Exception], str] = lambda error: ""
) -> Iterator[None]:
    """Execute a file that was read within it: an exception of the runtime `by` names the file.

    Args:
        more: what else is known of the exception, such as the node that it speaks of; follows its text.

    Raises:
        StepError: anything but an `EdgevitError`, `MemoryError` or `NameError`.
    """
    try:
        yield
    except (EdgevitError, *_OURS):
        raise
    except Exception as error:
        raise StepError(
            f"{by} cannot execute {path}: {brief(error)}{more(error)}",
            "run again with -v for the whole trace",
        ) from error


def read_bytes(path: Path, what: str, limit: int, hint: str = "") -> bytes:
    """The whole of a file that has to be small.

    Raises:
        InputError: missing, no regular file, or more than `limit` bytes.
    """
    with reading(path, what, hint), regular_file(path, what, hint).open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path} has more than {limit >> 20} MiB, too much for {what}", hint)
    return content
