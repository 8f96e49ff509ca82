"""Files that a user names are looked at before they are opened: a pipe or a device may never end."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgevit.core.errors import InputError

_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR)


def regular_file(path: Path, what: str, hint: str = "") -> Path:
    """`path` itself, if a plain file stands there; symbolic links are followed, nothing is opened.

    Args:
        what: what messages call it, such as "labels file" or "the recipe".
        hint: what to do then.

    Raises:
        InputError: nothing is there, it cannot be reached, or it is a folder, a pipe, a socket or a device.
    """
    mode = _mode(path, what, hint)
    if not stat.S_ISREG(mode):
        raise InputError(f"{what} {path} is {kind(mode)}, not a file", hint)
    return path


def existing(path: Path, what: str, hint: str = "") -> Path:
    """`path` itself, if a plain file or a folder stands there.

    Raises:
        InputError: nothing is there, it cannot be reached, or it is a pipe, a socket or a device.
    """
    mode = _mode(path, what, hint)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{what} {path} is {kind(mode)}, not a file or a folder", hint)
    return path


def is_unicode(path: Path) -> bool:
    """Whether the whole path can be written as text; the native runtimes open no other."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_there(path: Path) -> bool:
    """Whether something stands at `path`; a name that the system cannot even look up stands nowhere."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def is_folder(path: Path) -> bool:
    """Whether a folder stands at `path`, as `is_there` says it."""
    return is_there(path) and path.is_dir()


def kind(mode: int) -> str:
    """What `st_mode` says, in words: "a folder", "a pipe", "a symbolic link"."""
    return next((name for test, name in _KINDS if test(mode)), "no plain file")


def _mode(path: Path, what: str, hint: str) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno in _MISSING:
            why = ": what the link leads to is missing" if path.is_symlink() else ""
            raise InputError(f"{what} {path} does not exist{why}", hint) from error
        raise InputError(f"{what} {path} cannot be read: {error.strerror}", hint) from error
    except ValueError as error:  # a zero byte, which a recipe can hold
        raise InputError(f"{what} {str(path)!r} is not a path: {error}", hint) from error
