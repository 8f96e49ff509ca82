"""What one process does with the cache: find a result or make and keep it. A cache that fails stops nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.cache.store import Cache, Key, files_in
from edgevit.core.disk.documents import read_json
from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import EdgevitError, StorageError
from edgevit.core.process.scratch import scratch

T = TypeVar("T")
D = TypeVar("D")

RESULT: Final = "result.json"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a step is told of the cache.

    Attributes:
        folder: of its entries, which exists; "" where the cache is off.
        facts: digest of what all its results depend on, such as code and threads.
    """

    folder: str = ""
    facts: str = ""


OFF: Final = Remembered()


@dataclass(slots=True)
class Memory:
    """The cache as one process sees it; it remembers alone whether writing has failed.

    Attributes:
        told: is told of damaged entries, and once that nothing more can be kept.
        hits: the kinds of what was found, in order.
        full: whether writing has failed.
        limit: bytes of all entries of the cache; 0 where this process has no part in keeping it.
    """

    remembered: Remembered
    told: Callable[[str], None]
    hits: list[str] = field(default_factory=list)
    full: bool = False
    limit: int = 0

    def find(self, kind: str, facts: Mapping[str, object], into: Path) -> bool:
        """Copy what was kept into the folder `into`; whether there was anything.

        Raises:
            StorageError: `into` cannot be written.
        """
        if not self.remembered.folder:
            return False
        found = self._cache.find(self._key(kind, facts), into)
        if found == "damaged":
            self.told(f"an entry of the cache was damaged ({kind}); it is made again")
        elif found == "hit":
            self.hits.append(kind)
        return found == "hit"

    def keep(self, kind: str, facts: Mapping[str, object], files: Mapping[str, Path]) -> None:
        """Keep files by their names in the entry. What cannot be written is told once, and is no error."""
        if not self.remembered.folder or self.full:
            return
        try:
            self._cache.keep(self._key(kind, facts), files)
        except EdgevitError as error:
            self.full = True
            self.told(f"the cache is written no more: {error.message}")

    def forget(self, kind: str, facts: Mapping[str, object]) -> None:
        """Remove an entry that is of no use; it does not count as found."""
        self._cache.remove(self._key(kind, facts))
        self.hits.remove(kind)

    def recall(
        self,
        kind: str,
        facts: Mapping[str, object],
        make: Callable[[], T],
        write: Callable[[T, Path], None],
        read: Callable[[Path], T],
    ) -> T:
        """The result of an earlier run, or what `make` gives, which is kept.

        Args:
            write: into a fresh folder.
            read: from such a folder; what it raises means that the entry is of no use, and it is made again.
        """
        known = self.recall_known(kind, facts, read)
        if known is not None:
            return known
        made = make()
        self.keep_made(kind, facts, made, write)
        return made

    def recall_known(self, kind: str, facts: Mapping[str, object], read: Callable[[Path], T]) -> T | None:
        """The result of an earlier run; None where there is none, or what is there is of no use."""
        if not self.remembered.folder:
            return None
        with scratch() as folder:
            if not self.find(kind, facts, folder / "found"):
                return None
            try:
                return read(folder / "found")
            except Exception as error:  # noqa: BLE001  readers raise a dozen classes of their own
                self.told(f"an entry of the cache could not be read ({kind}: {error}); it is made again")
                self.forget(kind, facts)
                return None

    def keep_made(
        self, kind: str, facts: Mapping[str, object], made: T, write: Callable[[T, Path], None]
    ) -> None:
        """Keep a result for later runs; where that fails, it is told once."""
        if not self.remembered.folder or self.full:
            return
        with scratch() as folder:
            try:
                with storage_errors(folder, temporary=True):
                    write(made, folder)
            except StorageError as error:
                self.full = True
                self.told(f"the cache is written no more: {error.message}")
            else:
                self.keep(kind, facts, {n: p for n, p in files_in(folder).items() if not n.startswith(".")})

    @property
    def _cache(self) -> Cache:
        return Cache(Path(self.remembered.folder))

    def _key(self, kind: str, facts: Mapping[str, object]) -> Key:
        return Key(kind, {"of": self.remembered.facts, **facts})


def write_result(value: object, folder: Path) -> None:
    """A dataclass as the one file of an entry."""
    (folder / RESULT).write_text(json.dumps(to_plain(value)))  # type: ignore[arg-type]


def read_result(kind: type[D], folder: Path) -> D:
    """What `write_result` wrote.

    Raises:
        InputError: it is something else.
    """
    return from_plain(kind, read_json(folder / RESULT, "the entry"), "the entry")  # type: ignore[type-var]
