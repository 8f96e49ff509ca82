"""Room on disks: what is missing where, as an error, and asked for before the work."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edgevit.core.errors import StorageError, UsageError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PLACE: Final = frozenset({errno.EROFS, *_FULL})
_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
# A disk with less room than that is full for everything that is written here.
_NOTHING: Final = 1 << 20


@contextmanager
def storage_errors(path: Path, temporary: bool = False) -> Iterator[None]:
    """What the system says about `path` while it is written, as an error of ours.

    Args:
        temporary: `path` is among the temporary files, whose place is TMPDIR's and not that of `-o`.

    Raises:
        UsageError: a name that no file can have.
        StorageError: no space, no permission, read-only, or anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NAME:
            raise UsageError(f"cannot write {path}: {error.strerror}", "choose another name") from error
        raise _error(path, error.strerror or str(error), error.errno, temporary) from error


def missing_space(error: BaseException, places: Iterable[Path]) -> StorageError | None:
    """The error to tell if `error` comes from a full or read-only disk, else None.

    The system's own errors say so. Libraries turn them into texts of their own ("unexpected pos 64 vs 0"), so
    for all others it counts what is the case in `places`, where a half-written file still stands.
    """
    places = tuple(places)
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, StorageError):
            return found
        number = found.errno if isinstance(found, OSError) else None
        if number not in _PLACE:
            number = next((known for known in _PLACE if os.strerror(known) in str(found)), None)
        if number is not None:
            name = found.filename if isinstance(found, OSError) else None
            place = Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None
            full = place or next(iter(places), Path(tempfile.gettempdir()))
            return _error(full, os.strerror(number), number, _is_temporary(full))
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return full_place(places)


@contextmanager
def writing(*places: Path) -> Iterator[None]:
    """Let a library write to `places` within it: what it raises is told as what it is where a disk is full.

    Raises:
        StorageError: see `missing_space`; anything else passes as it is.
    """
    try:
        yield
    except Exception as error:  # libraries raise their own classes, and ours wrap them
        full = missing_space(error, places)
        if full is None:
            raise
        raise full from error


def full_place(places: Iterable[Path]) -> StorageError | None:
    """The error for the first of `places` whose disk is full, or in which a file has the largest size allowed."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    for place in places:
        with suppress(OSError):
            if shutil.disk_usage(place).free < _NOTHING:
                return _error(place, os.strerror(errno.ENOSPC), errno.ENOSPC, _is_temporary(place))
            if limit != resource.RLIM_INFINITY and any(
                file.is_file() and file.stat().st_size >= limit for file in place.rglob("*")
            ):
                return _error(place, os.strerror(errno.EFBIG), errno.EFBIG, _is_temporary(place))
    return None


def written_by(request: Mapping[str, Any]) -> tuple[Path, ...]:
    """The folders that a step of this request writes to, besides its temporary one."""
    named = (request.get("work"), *dict(request.get("folders") or {}).values())
    return tuple(path for text in named if text and (path := Path(text)).is_absolute() and path.is_dir())


def require_space(place: Path, needed: int, what: str) -> None:
    """Stop before the work if the disk of `place` has clearly too little room.

    Args:
        needed: bytes, the least that `what` takes.

    Raises:
        StorageError: less than that is free.
    """
    with storage_errors(place):
        free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageError(
            f"{what} takes at least {_size(needed)}, but the disk of {place} has {_size(free)} free",
            _hint(errno.ENOSPC, _is_temporary(place)),
        )


def _error(path: Path, reason: str, number: int | None, temporary: bool) -> StorageError:
    return StorageError(f"cannot write {path}: {reason}{_room(path, number)}", _hint(number, temporary))


def _room(path: Path, number: int | None) -> str:
    """How much is there, of what is missing."""
    if number == errno.EFBIG:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        return "" if limit == resource.RLIM_INFINITY else f" (files may have at most {_size(limit)} here)"
    if number not in _FULL:
        return ""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    usage = shutil.disk_usage(there)
    return f" ({_size(usage.free)} free of {_size(usage.total)} on the disk of {there})"


def _hint(number: int | None, temporary: bool) -> str:
    elsewhere = "set TMPDIR to a folder with more" if temporary else "choose another place with -o"
    if number == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f)"
    if number == errno.ENOENT:
        return "make the folder first, or choose another place"
    return f"free some space, or {elsewhere}" if number in _FULL else f"make it writable, or {elsewhere}"


def _is_temporary(path: Path) -> bool:
    return path.absolute().is_relative_to(Path(tempfile.gettempdir()).absolute())


def _size(count: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
