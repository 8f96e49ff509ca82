"""Where the cache is, and whether it may be trusted: `--cache`, EDGEVIT_CACHE, or the user's own folder for caches."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.errors import UsageError
from edgevit.core.process.sandbox import cache_home

OFF: Final = "off"
VARIABLE: Final = "EDGEVIT_CACHE"
LIMIT_VARIABLE: Final = "EDGEVIT_CACHE_GB"
LIMIT_GB: Final = 10.0
# Entries of another form lie in a folder of another name: neither version reads or removes what the other wrote.
FORMAT: Final = "v1"
_TAG: Final = "CACHEDIR.TAG"
# https://bford.info/cachedir: backups leave such folders out.
_SIGNATURE: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Results of edgevit; see `edgevit cache --help`.\n"
)
_HINT: Final = "give another folder, or --cache off"


@dataclass(frozen=True, slots=True)
class Place:
    """Where entries go.

    Attributes:
        root: what the user names; it may hold other things.
        folder: in it, of entries alone.
        limit: bytes of all entries.
    """

    root: Path
    limit: int

    @property
    def folder(self) -> Path:
        """Of entries in the form that this edgevit writes."""
        return self.root / FORMAT


def locate(given: str | None) -> Place | None:
    """The place that was asked for, whether it is there or not; None where the cache is off.

    Raises:
        UsageError: a size limit that is no number.
    """
    text = os.environ.get(VARIABLE, "") if given is None else given
    if text == OFF:
        return None
    root = Path(text) if text else Path(cache_home()) / "edgevit" / "results"
    return Place(root.absolute(), _limit())


def open_place(place: Place) -> str | None:
    """Make its folder; why it cannot be used, or None where it can.

    What lies in it is believed, so nobody else may have written there.
    """
    try:
        place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.folder.mkdir(mode=0o700, exist_ok=True)
        for folder, others in ((place.root, stat.S_IWOTH), (place.folder, stat.S_IWGRP | stat.S_IWOTH)):
            state = folder.lstat() if folder == place.folder else folder.stat()
            if not stat.S_ISDIR(state.st_mode):
                return f"{folder} is not a folder"
            if state.st_uid != os.getuid():
                return f"{folder} belongs to another user"
            sticky = (
                folder == place.root and state.st_mode & stat.S_ISVTX
            )  # such as /tmp: nobody renames ours there
            if state.st_mode & others and not sticky:
                return f"other users may write to {folder}"
        if not os.access(place.folder, os.W_OK | os.X_OK | os.R_OK):
            return f"{place.folder} cannot be written"
        tag = place.root / _TAG
        if not tag.exists():
            tag.write_text(_SIGNATURE)
    except FileExistsError as error:
        return f"{error.filename} is not a folder"
    except OSError as error:
        return f"{error.filename or place.root}: {error.strerror}"
    return None


def refuse(place: Place, reason: str) -> UsageError:
    """The error where the user named a place that cannot be used."""
    return UsageError(f"the cache {place.root} cannot be used: {reason}", _HINT)


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        number = float(text) if text else LIMIT_GB
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise UsageError(f"{LIMIT_VARIABLE}={text[:40]} is no size", "give GB, such as 20")
    return int(number * 1e9)
