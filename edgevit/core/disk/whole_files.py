"""Files that are written whole or not at all, and the digest and size of what is there."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edgevit.core.disk.regular import kind
from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import InputError, UsageError

_CHUNK: Final = 1 << 20


def sha256_of(path: Path) -> str:
    """Digest of a file, or of a folder: the sorted relative names and bytes of all its files.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _feed(digest, path)
            return digest.hexdigest()
        for name, file in _files(path):
            # The length stands before the bytes, so that no two folders give the same stream.
            digest.update(f"{name}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
            _feed(digest, file)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "check the path and its permissions"
        ) from error
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder.

    Raises:
        InputError: it does not exist.
    """
    try:
        return sum(file.stat().st_size for _, file in _files(path)) if path.is_dir() else path.stat().st_size
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "check the path and its permissions"
        ) from error


def write_atomic(path: Path, content: bytes | bytearray | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        StorageError: the disk is full or the place is read-only; what was there is untouched.
    """
    write_stream(path, (content.encode() if isinstance(content, str) else content,))


def copy(source: Path, target: Path) -> None:
    """Copy a file of ours as `write_atomic` writes one.

    Raises:
        StorageError: as `write_atomic`.
    """
    with source.open("rb") as file:
        write_stream(target, iter(lambda: file.read(_CHUNK), b""))


def write_stream(path: Path, parts: Iterable[bytes | bytearray]) -> None:
    """`write_atomic` for what is too large to hold in memory at once.

    Raises:
        UsageError: a folder, a pipe or a device stands there.
        StorageError: the disk is full or the place is read-only; what was there is untouched.
    """
    _check_file_place(path)
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes it readable by its owner only, which is wrong for a result.
            temporary.chmod(0o666 & ~umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _check_file_place(path: Path) -> None:
    """Renaming would put a file in the place of /dev/null, too."""
    with storage_errors(path):
        mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        raise UsageError(f"{path} is {kind(mode)}, not a file", "choose another name for the file")


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
    return sorted(found)


def _feed(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def umask() -> int:
    """Which permissions new files do not get; the system only tells when it is set."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
