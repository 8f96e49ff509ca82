"""Files that are written whole or not at all, and folders that are swapped in whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgevit.core.errors import InputError, StorageError, UsageError
from edgevit.core.regular import is_unicode, kind

_CHUNK: Final = 1 << 20
# A folder with one of these was written by edgevit and may be replaced by it.
_OURS: Final = ("manifest.json", "plan.json", "report.json")


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


def write_stream(path: Path, parts: Iterable[bytes | bytearray]) -> None:
    """`write_atomic` for what is too large to hold in memory at once.

    Raises:
        UsageError: a folder, a pipe or a device stands there.
        StorageError: the disk is full or the place is read-only; what was there is untouched.
    """
    _check_file_place(path)
    with _storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes it readable by its owner only, which is wrong for a result.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def check_output(path: Path, overwrite: bool) -> None:
    """Before any work: may `path` be created (or replaced), and can its parent be written?

    Missing parents are made, since writing would make them anyway.

    Raises:
        UsageError: it exists and `overwrite` is not set, it is a folder that edgevit did not write, it holds
            the working directory, or a parent is a file.
        StorageError: its parent cannot be written.
    """
    check_place(path, overwrite)
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Asking for permissions proves nothing for root or on a read-only mount: try it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        Path(name).unlink()


def check_place(path: Path, overwrite: bool) -> None:
    """May `path` be created or replaced? Nothing is written to find out.

    Raises:
        UsageError: as `check_output`.
    """
    if not is_unicode(path):
        raise UsageError(
            f"{path} is not valid Unicode, so ONNX Runtime and coremltools could not open what is in it",
            "choose another place with -o",
        )
    try:
        _check_place(path, overwrite)
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long, a loop of links, a working directory or a home that is gone.
        told = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be made: {told}", "choose another place with -o") from error


def _check_place(path: Path, overwrite: bool) -> None:
    blocking = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        raise UsageError(f"{path} cannot be made: {blocking} is not a folder", "choose another place with -o")
    if path.is_symlink() or path.exists():
        if not overwrite:
            raise UsageError(
                f"{path} already exists", "add --overwrite to replace it, or choose another place with -o"
            )
        if path.resolve() in (Path.cwd(), *Path.cwd().parents, Path.home()):
            raise UsageError(f"{path} would be replaced as a whole", "choose a folder of its own with -o")
        if not path.is_dir() or (any(path.iterdir()) and not any((path / m).exists() for m in _OURS)):
            raise UsageError(
                f"{path} is not a bundle of edgevit, so --overwrite does not replace it",
                "choose another place with -o, or remove it yourself",
            )


@contextmanager
def staged_beside(final: Path) -> Iterator[Path]:
    """A fresh folder on the same disk as `final`, to build in and then to hand to `replace_dir`.

    It is removed on the way out if it is still there, also after an error or Ctrl-C.
    """
    with _storage_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
        staged.chmod(0o777 & ~_umask())
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def replace_dir(staged: Path, final: Path, overwrite: bool) -> None:
    """Put the finished folder `staged` (on the same disk) in the place of `final`, whole.

    What was there is kept aside until the new one is in place, and put back if that fails.

    Raises:
        UsageError: `final` exists and `overwrite` is not set.
        StorageError: the system refused; `final` is as it was.
    """
    if not (final.is_symlink() or final.exists()):
        with _storage_errors(final):
            staged.rename(final)
        return
    if not overwrite:
        raise UsageError(
            f"{final} already exists", "add --overwrite to replace it, or choose another place with -o"
        )
    with _storage_errors(final):
        aside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".old"))
        kept = aside / final.name
        try:
            final.rename(kept)
            staged.rename(final)
        except BaseException:
            if not final.exists():
                kept.rename(final)
            shutil.rmtree(aside, ignore_errors=True)
            raise
        if kept.is_symlink() or not kept.is_dir():
            kept.unlink()
        shutil.rmtree(aside, ignore_errors=True)


def _check_file_place(path: Path) -> None:
    """Renaming would put a file in the place of /dev/null, too."""
    with _storage_errors(path):
        mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        raise UsageError(f"{path} is {kind(mode)}, not a file", "choose another name for the file")


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", "free some space or choose another place with -o"
        ) from error


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
    return sorted(found)


def _feed(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
