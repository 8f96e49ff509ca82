"""Temporary folders that know whether their owner lives, so that the next run removes what a killed one left.

The owner holds a lock (flock) on a file in its folder. The system frees it when the process ends, however it
ends, which neither a process number nor an age can tell.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edgevit.core.disk.space import storage_errors
from edgevit.core.process.interrupt import shielded

WORK: Final = "edgevit-work-"
_STEP: Final = "edgevit-"
_PREFIXES: Final = (WORK, _STEP)
_MARK: Final = ".edgevit-owner"
_RANDOM: Final = "[a-z0-9_]{8}"  # what tempfile puts between prefix and suffix
_BETWEEN_S: Final = 3600.0  # an owner that was ended between making the mark and locking it


@contextmanager
def scratch(prefix: str = _STEP) -> Iterator[Path]:
    """A fresh folder below the system's temporary one, removed on the way out, also after an error or Ctrl-C.

    Before the first one of a process, those that killed runs left there are removed.

    Raises:
        StorageError: there is no place for it.
    """
    with storage_errors(Path(os.environ.get("TMPDIR", "/tmp")), temporary=True):
        parent = Path(tempfile.gettempdir())
    _sweep_once(parent)
    with owned(parent, prefix, temporary=True) as folder:
        yield folder


def is_scratch(path: Path) -> bool:
    """Whether `path` lies in the work folder of a run, and is gone after it."""
    return any(part.startswith(WORK) for part in path.parts)


@contextmanager
def owned(parent: Path, prefix: str, suffix: str = "", temporary: bool = False) -> Iterator[Path]:
    """A fresh folder in `parent` that `dead` tells from one whose owner has ended.

    Raises:
        StorageError: it cannot be made.
    """
    with storage_errors(parent, temporary):
        folder = Path(tempfile.mkdtemp(suffix, prefix, parent))
    try:
        with storage_errors(folder, temporary):
            handle = os.open(folder / _MARK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: nobody but us removes the folder
                fcntl.flock(handle, fcntl.LOCK_EX)
                os.write(handle, str(os.getpid()).encode())
            yield folder
        finally:
            os.close(handle)
    finally:
        with shielded():
            shutil.rmtree(folder, ignore_errors=True)


def dead(parent: Path, prefix: str, suffixes: tuple[str, ...] = ("",)) -> Iterator[Path]:
    """The folders that `owned` made for this user in `parent`, and whose owner has ended.

    Each is locked while the caller looks at it, so that no two processes clean up the same one.
    """
    ends = "|".join(map(re.escape, suffixes))
    name = re.compile(rf"{re.escape(prefix)}{_RANDOM}(?:{ends})")
    with suppress(OSError):
        for folder in sorted(path for path in parent.iterdir() if name.fullmatch(path.name)):
            with suppress(OSError), _taken(folder) as ended:
                if ended:
                    yield folder


@contextmanager
def _taken(folder: Path) -> Iterator[bool]:
    """Whether the owner has ended, with its lock held by us if so.

    Raises:
        OSError: no folder of ours, or its owner lives.
    """
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        yield False
        return
    handle = os.open(folder / _MARK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked_before = bool(os.read(handle, 1))
        yield locked_before or time.time() - os.fstat(handle).st_mtime > _BETWEEN_S
    finally:
        os.close(handle)


@functools.cache
def _sweep_once(parent: Path) -> None:
    for prefix in _PREFIXES:
        for folder in dead(parent, prefix):
            shutil.rmtree(folder, ignore_errors=True)
