"""Where the gate may write: over nothing that it reads, and not into a bundle, whose manifest lists all files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgevit.core.errors import UsageError


def check_places(places: Mapping[str, Path | None], bundle: Path, inputs: Mapping[str, Path | None]) -> None:
    """Before anything is compared.

    Args:
        places: what messages call a file that will be written -> its path.
        inputs: the same of what is read besides `bundle`: a baseline, which may be a bundle, and a policy.

    Raises:
        UsageError: a file would be written over an input, into a bundle, or twice.
    """
    read = {"the bundle": bundle, **inputs}
    taken: dict[Path, str] = {}
    for what, place in places.items():
        if place is None:
            continue
        real = _real(place)
        if real in taken:
            raise UsageError(f"{what} and {taken[real]} are both {place}", "give each a name of its own")
        taken[real] = what
        for name, path in read.items():
            if path is None:
                continue
            if path.is_dir() and real.is_relative_to(_real(path)):
                raise UsageError(
                    f"{what} {place} lies in {name} {path}, whose manifest does not list it",
                    "choose a place outside of it"
                    + (
                        "; without --html the page goes into the bundle, and is listed"
                        if what == "--html"
                        else ""
                    ),
                )
            if real == _real(path):
                raise UsageError(f"{what} {place} would be written over {name}", "choose another name")


def _real(path: Path) -> Path:
    """Behind all links; `Path.resolve` raises where these go in a circle."""
    return Path(os.path.realpath(path))
