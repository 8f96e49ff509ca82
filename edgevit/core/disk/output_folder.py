"""The folder that a command writes: checked before the work, built beside its place, and swapped in whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edgevit.core.disk.regular import is_unicode
from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import UsageError
from edgevit.core.process.interrupt import shielded
from edgevit.core.process.scratch import dead, owned

# A folder with one of these was written by edgevit and may be replaced by it.
_OURS: Final = ("manifest.json", "plan.json", "report.json")
_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})
_OCCUPIED: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY})  # nothing but a folder there gives these
_TRIES: Final = 20  # of two runs that overwrite the same folder again and again


def check_output(path: Path, overwrite: bool) -> None:
    """Before any work: may `path` be created (or replaced), and can its parent be written?

    Missing parents are made, since writing would make them anyway.

    Raises:
        UsageError: it exists and `overwrite` is not set, it is a folder that edgevit did not write, it holds
            the working directory, or a parent is a file.
        StorageError: its parent cannot be written.
    """
    _recover(path)
    check_place(path, overwrite)
    with storage_errors(path):
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
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be made: {reason}", "choose another place with -o") from error


def _check_place(path: Path, overwrite: bool) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()  # raises for a name that the system cannot look up, which `exists` hides
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

    It is removed on the way out if it is still there, also after an error or Ctrl-C; what a killed run left
    there is removed by the next run.

    Raises:
        StorageError: it cannot be made.
    """
    with storage_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with owned(final.parent, f".{final.name}.", ".tmp") as folder:
        staged = folder / final.name
        with storage_errors(final):
            staged.mkdir()
        yield staged


def replace_dir(staged: Path, final: Path, overwrite: bool) -> None:
    """Put the finished folder `staged` (on the same disk) in the place of `final`, whole.

    What was there is kept aside until the new one is in place, and put back if that fails. Several runs may
    do this at once: without `overwrite` the first one wins, with it the last one.

    Raises:
        UsageError: `final` exists and `overwrite` is not set.
        StorageError: the system refused; `final` is as it was.
    """
    with storage_errors(final):
        for _ in range(_TRIES):
            try:
                if not final.is_symlink():
                    staged.rename(final)  # refused by the system where something stands, however new it is
                    return
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                if not (final.is_symlink() or final.exists()):
                    if error.errno in _OCCUPIED:
                        continue  # what stood there was moved aside by another run since
                    raise
            if not overwrite:
                raise UsageError(
                    f"{final} already exists",
                    "add --overwrite to replace it, or choose another place with -o",
                )
            if _swap(staged, final):
                return
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(final))


def _swap(staged: Path, final: Path) -> bool:
    """Move `final` aside and `staged` there; False if another run was quicker."""
    with shielded(), owned(final.parent, f".{final.name}.", ".old") as aside:
        kept = aside / final.name
        try:
            final.rename(kept)
        except FileNotFoundError:
            return False
        try:
            staged.rename(final)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _TAKEN:
                return False
            with suppress(OSError):  # taken by another run meanwhile
                kept.rename(final)
            raise
        if kept.is_symlink() or not kept.is_dir():
            kept.unlink()
    return True


def keep_beside(staged: Path, final: Path, word: str) -> Path:
    """Put `staged` beside `final`, where nothing is: `final.WORD`, else `final.WORD-2` and so on.

    Raises:
        StorageError: the system refused.
    """
    number = 1
    while True:
        place = final.with_name(f"{final.name}.{word}" + (f"-{number}" if number > 1 else ""))
        try:
            replace_dir(staged, place, overwrite=False)
        except UsageError:
            number += 1
        else:
            return place


def place_or_keep(staged: Path, final: Path, overwrite: bool) -> None:
    """`replace_dir`, but work is not thrown away because another run was finished first.

    Raises:
        UsageError: `final` exists and `overwrite` is not set; the message says where `staged` is now.
        StorageError: the system refused.
    """
    try:
        replace_dir(staged, final, overwrite)
    except UsageError as error:
        place = keep_beside(staged, final, "later")
        raise UsageError(
            f"{final} already exists: another run was finished first. What this one made is in {place}",
            f"compare the two, or add --overwrite to let the later run replace {final}",
        ) from error


def _recover(final: Path) -> None:
    """Remove what killed runs left beside `final`; if one died between two renames, `final` is put back."""
    for folder in dead(final.parent, f".{final.name}.", (".tmp", ".old")):
        kept = folder / final.name
        if folder.suffix == ".old" and kept.exists() and not final.exists():
            with storage_errors(final):
                kept.rename(final)
        shutil.rmtree(folder, ignore_errors=True)
