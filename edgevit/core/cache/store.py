"""Results on disk by the digest of all that they depend on: found whole and undamaged, or not at all.

An entry is a folder of plain files with a list of their SHA-256 digests. It is written beside its place and renamed,
so no reader sees a part of one; of two runs that make the same, the first one's stays. Everything is checked again
while it is copied out, because disks and people change files: an entry that does not hold what it lists is removed,
and its result is made again. Nothing in it is ever executed or unpickled.

    FOLDER/KIND/ab/abcdef.../entry.json    key and digests; its time says when it was last used
    FOLDER/KIND/ab/abcdef.../files/NAME
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal

from edgevit.core.disk.documents import parse_json
from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import EdgevitError, InputError
from edgevit.core.process.scratch import dead, owned

Found = Literal["hit", "miss", "damaged"]

LIST: Final = "entry.json"
FILES: Final = "files"
PART: Final = "model-"  # how the folder of one model's own entries begins
_NEW: Final = ".new-"
_CHUNK: Final = 1 << 20
_LIST_BYTES: Final = 4 << 20
_HINT: Final = "edgevit cache clear removes it"


@dataclass(frozen=True, slots=True)
class Key:
    """Everything that a result depends on.

    Attributes:
        kind: what it is, a word; the name of a folder.
        facts: plain data that JSON can hold; two keys are the same when kind and facts are.
    """

    kind: str
    facts: Mapping[str, object]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of({"kind": self.kind, "facts": self.facts}))


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of entries; see the module."""

    folder: Path

    def place_of(self, key: Key) -> Path:
        """The folder of an entry, whether it is there or not."""
        return self.folder / key.kind / key.digest[:2] / key.digest

    def find(self, key: Key, into: Path) -> Found:
        """Copy the files of an entry into the folder `into`, each checked by its digest on the way.

        `into` is made where it is not there. What a damaged entry left in it is removed, and the entry too.

        Raises:
            StorageError: `into` cannot be written.
        """
        place = self.place_of(key)
        try:
            listed = _listed(place / LIST, key)
        except FileNotFoundError:
            return "miss"
        except (OSError, EdgevitError, ValueError, TypeError, KeyError, AttributeError):
            return self._discard(place)
        done: list[Path] = []
        for name, digest in listed.items():
            target = into / name
            with storage_errors(into):
                target.parent.mkdir(parents=True, exist_ok=True)
            copied = _copy(place / FILES / name, target)
            done.append(target)
            if copied == digest:
                continue
            for path in done:
                path.unlink(missing_ok=True)
            # Another run may have removed it to make room, in the middle of our reading: that is no damage.
            return "miss" if copied is None and not (place / LIST).exists() else self._discard(place)
        with suppress(OSError):
            os.utime(place / LIST)
        return "hit"

    def keep(self, key: Key, files: Mapping[str, Path]) -> None:
        """Store files by their names in the entry, such as `a/b`; an entry that is there already stays.

        Raises:
            StorageError: no space, or no permission; nothing of it is left.
        """
        place = self.place_of(key)
        if (place / LIST).exists():
            return
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with owned(self.folder, _NEW) as aside, storage_errors(self.folder):
            listed = {}
            for name, path in files.items():
                target = aside / "entry" / FILES / name
                target.parent.mkdir(parents=True, exist_ok=True)
                listed[name] = _copy(path, target)
                if listed[name] is None:
                    raise OSError(errno.EIO, "cannot be read", str(path))
            (aside / "entry").mkdir(exist_ok=True)
            document = {"kind": key.kind, "facts": key.facts, "files": listed}
            (aside / "entry" / LIST).write_text(_canonical(document), encoding="utf-8")
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() and not (place / LIST).exists():  # a removal that did not come to its end
                remove_tree(place)
            try:
                (aside / "entry").rename(place)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another run was quicker
                    raise

    def remove(self, key: Key) -> None:
        """Forget an entry, if it is there."""
        remove_tree(self.place_of(key))

    def _discard(self, place: Path) -> Found:
        remove_tree(place)
        return "damaged"


def files_in(folder: Path, below: str = "") -> dict[str, Path]:
    """The regular files of a folder as `keep` takes them, by their names within it, behind `below`."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {f"{below}{path.relative_to(folder).as_posix()}": path for path in found}


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry as it lies on disk: its kind, bytes with its list, and when it was last used, seconds since 1970."""

    place: Path
    kind: str
    size: int
    used: float


def entries(folder: Path) -> Iterator[Stored]:
    """All entries of a cache and of the caches within it; links are not followed."""
    for cache in _caches(folder):
        for kind in _folders(cache):
            for start in _folders(kind):
                for place in _folders(start):
                    with suppress(OSError):  # removed by another run meanwhile
                        used = (place / LIST).lstat().st_mtime
                        yield Stored(place, kind.name, _size(place), used)


def trim(folder: Path, limit: int) -> tuple[int, int]:
    """Remove what was not used for longest until all entries below `folder` take at most `limit` bytes.

    What killed runs left half-written is removed too.

    Returns:
        How many entries were removed, and their bytes.
    """
    for cache in _caches(folder):
        for left in dead(cache, _NEW):
            remove_tree(left)
    found = sorted(entries(folder), key=lambda entry: entry.used)
    over = sum(entry.size for entry in found) - limit
    removed = freed = 0
    for entry in found:
        if freed >= over:
            break
        remove_tree(entry.place)
        if not entry.place.exists():
            removed, freed = removed + 1, freed + entry.size
    return removed, freed


def remove_tree(folder: Path) -> None:
    """Remove a folder as far as possible, however deep: what a step of unknown origin left may be.

    `shutil.rmtree` calls itself for each level, and so do the walks of this Python.
    """
    todo, found = [folder], []
    while todo:
        found.append(todo.pop())
        with suppress(OSError), os.scandir(found[-1]) as inner:
            for entry in inner:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                else:
                    with suppress(OSError):
                        Path(entry.path).unlink()
    for path in reversed(found):
        with suppress(OSError):
            path.rmdir()


def _caches(folder: Path) -> list[Path]:
    """The folder and those of models in it."""
    return [folder, *(path for path in _folders(folder) if path.name.startswith(PART))]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as inner:
            return sorted(Path(entry.path) for entry in inner if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _size(place: Path) -> int:
    """Bytes of an entry."""
    todo, total = [place], 0
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as inner:
            for entry in inner:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def digest_of(facts: object) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(facts: object) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _listed(path: Path, key: Key) -> dict[str, str]:
    """Name -> digest of the files of an entry.

    Raises:
        FileNotFoundError: there is none.
        OSError, InputError: it cannot be read, or is not what belongs to `key`.
    """
    with _plain(path) as file:
        content = file.read(_LIST_BYTES + 1)
    found = parse_json(content, str(path))
    if not isinstance(found, dict) or digest_of({k: found.get(k) for k in ("kind", "facts")}) != key.digest:
        raise InputError(f"{path} belongs to another key", _HINT)
    listed = found["files"]
    for name, digest in listed.items():
        pure = PurePosixPath(name)
        within = any(str(parent) in listed for parent in pure.parents)  # a file cannot be a folder too
        odd = pure.is_absolute() or ".." in pure.parts or not pure.parts or not name.isprintable()
        if odd or within or not isinstance(digest, str):
            raise InputError(f"{path} lists {name!r}", _HINT)
    return dict(listed)


def _plain(path: Path) -> BinaryIO:
    """A regular file, opened to read; never a link, a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


def _copy(source: Path, target: Path) -> str | None:
    """Digest of what was copied; None where `source` cannot be read.

    Raises:
        StorageError: `target` cannot be written.
    """
    try:
        file = _plain(source)
    except OSError:
        return None
    digest = hashlib.sha256()
    with file, storage_errors(target), target.open("wb") as out:
        while True:
            try:
                chunk = file.read(_CHUNK)
            except OSError:
                return None
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            out.write(chunk)
