"""An .mlpackage as a folder: checked before any library follows the paths written in it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import kind
from edgevit.core.errors import InputError

AGAIN = "convert the model again, or take the package from its source anew"


@dataclass(frozen=True, slots=True)
class Package:
    """The two places that matter, both inside of the package; `weights` may not exist."""

    model: Path
    weights: Path


def check_package(path: Path) -> Package:
    """Read Manifest.json and refuse everything that leads out of the package.

    Raises:
        InputError: not a package, a symbolic link in it, a path that leaves it, a missing file, or
            a manifest that is not one.
    """
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"{path} is not an .mlpackage folder", "give the folder named *.mlpackage")
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            mode = (Path(folder) / name).lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise InputError(f"{path}: {name} is {kind(mode)}, which a package may not hold", AGAIN)
    manifest = _read_manifest(path)
    items, root = manifest.get("itemInfoEntries"), manifest.get("rootModelIdentifier")
    if not isinstance(items, dict) or not isinstance(root, str) or root not in items:
        raise InputError(f"{path}: Manifest.json names no root model", AGAIN)
    places = {key: _inside(path, item) for key, item in items.items()}
    if not places[root].is_file():
        raise InputError(f"{path}: the model {places[root].name} is missing", AGAIN)
    return Package(places[root], places[root].parent / "weights")


def _read_manifest(path: Path) -> dict[str, object]:
    return read_json(path / "Manifest.json", "the manifest", AGAIN)


def _inside(path: Path, item: object) -> Path:
    text = item.get("path") if isinstance(item, dict) else None
    if not isinstance(text, str) or not text:
        raise InputError(f"{path}: Manifest.json has an entry without a path", AGAIN)
    inner = PurePosixPath(text)
    if inner.is_absolute() or ".." in inner.parts or "\\" in text or "\0" in text:
        raise InputError(f"{path}: Manifest.json leads out of the package: {text!r}", AGAIN)
    place = path / "Data" / inner
    if not place.exists():
        raise InputError(f"{path}: {text} is missing", AGAIN)
    return place
