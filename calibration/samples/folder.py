"""A folder of class folders (labelled), or a flat folder of images (unlabelled)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calibration.decode import decode
from calibration.samples._classes import match_folders
from edgevit.core.errors import InputError
from edgevit.core.plugins import Samples, SampleSource, Survey
from edgevit.core.reading import reading
from edgevit.core.regular import existing, regular_file

if TYPE_CHECKING:
    from edgevit.core.types import Pixels


_HINT: Final = "give a folder of images or of class folders, a .npz with `images`, or demo"

# What systems put into folders without being asked: Windows, macOS' zip archives, Synology, Linux' disks.
_LEFT_BEHIND: Final = frozenset(
    (
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "@eadir",
        "lost+found",
    )
)


def accepts(text: str) -> bool:
    """Everything that no other kind of samples claims, so that a mistyped path gets its own message."""
    return not text.endswith(".npz") and text.partition(":")[0] not in ("demo", "synthetic")


def survey(text: str) -> Survey:
    """Count the files that `open_folder` would list; raises as it does."""
    folders, loose = _entries(text)
    count = sum(len(_files(folder)) for folder in folders) if folders else len(loose)
    if not count:
        raise _empty(text)
    return Survey(count, labelled=bool(folders))


def open_folder(text: str, labels: tuple[str, ...]) -> Samples:
    """List the files; every file counts as an image that is not hidden and that no system left there.

    Raises:
        InputError: missing, empty, class folders mixed with images, or a folder that is no label.
    """
    root = Path(text)
    folders, loose = _entries(text)
    if not folders:
        return _samples(text, root, tuple((path, None) for path in loose))
    warnings: tuple[str, ...] = ()
    names = tuple(folder.name for folder in folders)
    if labels:
        classes = match_folders(names, labels, text)
    else:
        classes = {name: index for index, name in enumerate(names)}
        warnings = (
            f"{text}: the model has no labels, so class folders were numbered in sorted order ({names[0]} is 0)",
        )
    files = tuple((path, classes[folder.name]) for folder in folders for path in _files(folder))
    return _samples(text, root, files, warnings)


def _entries(text: str) -> tuple[list[Path], list[Path]]:
    """The class folders, or the images of a flat folder."""
    root = existing(Path(text), "samples", _HINT)
    if not root.is_dir():
        raise InputError(f"samples {text} is not a folder", _HINT)
    with reading(root, "folder of images", _HINT):
        entries = sorted(entry for entry in root.iterdir() if not _is_left_behind(entry.name))
        folders = [entry for entry in entries if entry.is_dir()]
        loose = [entry for entry in entries if not entry.is_dir()]
    if folders and loose:
        raise InputError(
            f"{text} holds class folders and also {len(loose)} files such as {loose[0].name}",
            "move the files away, or into class folders",
        )
    return folders, loose


def _empty(text: str) -> InputError:
    return InputError(f"{text} holds no images", "JPEG, PNG, WebP and BMP are read")


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not _is_left_behind(name)]
        found += [Path(parent) / name for name in names if not _is_left_behind(name)]
    return sorted(found)


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def _samples(
    text: str, root: Path, files: tuple[tuple[Path, int | None], ...], warnings: tuple[str, ...] = ()
) -> Samples:
    if not files:
        raise _empty(text)
    names = tuple(path.relative_to(root).as_posix() for path, _ in files)
    classes = tuple(index for _, index in files if index is not None)

    def read(index: int) -> Pixels:
        return decode(files[index][0])

    def digest() -> str:
        total = hashlib.sha256()
        for name, (path, label) in zip(names, files, strict=True):
            try:
                content = hashlib.sha256(regular_file(path, "image").read_bytes()).hexdigest()
            except (OSError, InputError):
                content = "unreadable"  # `read` is where this is an error, unless such files are left out
            total.update(f"{name}\n{label}\n{content}\n".encode(errors="surrogateescape"))
        return total.hexdigest()

    return Samples(text, names, classes or None, read, digest, warnings)


SAMPLES: Final = SampleSource(
    summary="a folder of class folders, or a flat folder without labels",
    accepts=accepts,
    survey=survey,
    open=open_folder,
)
