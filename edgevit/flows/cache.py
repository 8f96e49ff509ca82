"""`edgevit cache`: what earlier runs left, and how to be rid of it."""

from __future__ import annotations

import time
from typing import Final

from edgevit.core.cache import place as places
from edgevit.core.cache.place import FORMAT, Place
from edgevit.core.cache.store import Stored, entries, remove_tree, trim
from edgevit.core.errors import StorageError, UsageError, nearest
from edgevit.core.results.answer import Answer, Table

ACTIONS: Final = ("info", "clear", "prune")
_GB: Final = 1e9


def cache(action: str, given: str | None = None, max_size: float | None = None) -> Answer:
    """Show, empty or shrink the cache.

    Args:
        action: `info`, `clear` (remove everything) or `prune` (what was not used for longest, down to the limit).
        given: the folder, as `--cache` takes it.
        max_size: GB for `prune`; None for the limit that runs keep to.

    Raises:
        UsageError: no such action, the cache is off, or the place cannot be used.
        StorageError: something could not be removed.
    """
    if action not in ACTIONS:
        raise UsageError(f"unknown action {action!r}", nearest(action, ACTIONS))
    if max_size is not None and action != "prune":
        raise UsageError(f"--max-size goes with prune, not with {action}", "edgevit cache prune --max-size 5")
    place = places.locate(given)
    if place is None:
        raise UsageError("the cache is off", f"name a folder with --cache, or unset {places.VARIABLE}")
    if place.root.exists() or place.root.is_symlink():
        reason = places.open_place(place)
        if reason is not None:
            raise places.refuse(place, reason)
    removed = freed = 0
    if action == "clear":
        removed, freed = _clear(place)
    elif action == "prune":
        removed, freed = trim(place.folder, place.limit if max_size is None else int(max_size * _GB))
    return _told(place, removed, freed, action)


def _clear(place: Place) -> tuple[int, int]:
    """Entries in the form of this edgevit alone: the folder may hold those of a newer one, and other files."""
    found = tuple(entries(place.folder))
    remove_tree(place.folder)
    left = tuple(entries(place.folder))
    if left:
        raise StorageError(f"{left[0].place} could not be removed", "check its permissions")
    return len(found), sum(entry.size for entry in found)


def _told(place: Place, removed: int, freed: int, action: str) -> Answer:
    found = tuple(entries(place.folder))
    kinds = sorted({entry.kind for entry in found})
    of_kind = {kind: [entry for entry in found if entry.kind == kind] for kind in kinds}
    size = sum(entry.size for entry in found)
    others = _others(place)
    data = {
        "folder": str(place.root),
        "format": FORMAT,
        "entries": len(found),
        "bytes": size,
        "limit_bytes": place.limit,
        "kinds": [
            {"kind": kind, "entries": len(some), "bytes": sum(entry.size for entry in some)}
            for kind, some in of_kind.items()
        ],
        "removed_entries": removed,
        "removed_bytes": freed,
        "other_formats": list(others),
    }
    rows = [
        (kind, str(len(some)), _size(sum(entry.size for entry in some)), _age(some))
        for kind, some in of_kind.items()
    ]
    rows.append(("all", str(len(found)), f"{_size(size)} of {_size(place.limit)}", ""))
    tables = [Table(str(place.root), ("kind", "entries", "size", "last used"), tuple(rows))]
    if action != "info":
        tables.append(Table("removed", ("entries", "size"), ((str(removed), _size(freed)),)))
    if others:
        tables.append(Table("left alone", ("written by another version",), tuple((name,) for name in others)))
    return Answer(data, tuple(tables))


def _others(place: Place) -> tuple[str, ...]:
    """Folders of entries in other forms."""
    if not place.root.is_dir():
        return ()
    known = (path for path in place.root.iterdir() if path.is_dir() and path.name != FORMAT)
    return tuple(sorted(path.name for path in known if path.name[:1] == "v" and path.name[1:].isdecimal()))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < _GB else f"{count / _GB:.2f} GB"


def _age(some: list[Stored]) -> str:
    """When the newest of them was used; a clock that was set back says nothing."""
    seconds = time.time() - max(entry.used for entry in some)
    if seconds < 0:
        return "-"
    return f"{seconds / 3600:.0f} h ago" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days ago"
