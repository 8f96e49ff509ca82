"""A folder of class folders, or a flat folder of images, with classes only in a `metadata.csv` among them.

Class folders say the classes of the first output; a `metadata.csv` beside them those of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from calibration.decode import decode
from calibration.samples._classes import index_folders, match_names, names_one, number_folders
from calibration.samples._listing import Listing, list_images, some_of
from calibration.samples._metadata import has_classes, read_classes, read_heads
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Picture, Role, Samples, SampleSource, Survey


def accepts(text: str) -> bool:
    """Everything that no other kind of samples claims, so that a mistyped path gets its own message."""
    return not text.endswith((".npz", ".npy")) and text.partition(":")[0] not in ("demo", "synthetic")


def survey(text: str, role: Role) -> Survey:
    """Count the files that `open_folder` would list; raises as `list_images` does."""
    found = list_images(text, role)
    return Survey(found.images, labelled=bool(found.classes) or has_classes(found.table))


def open_folder(text: str, head: Head, role: Role) -> Samples:
    """List the images, and find the class of each folder, or of each image in `metadata.csv`.

    Raises:
        InputError: what `list_images` finds wrong, a folder that is no label, or, without labels, more or fewer
            folders than the model has classes.
    """
    found = list_images(text, role, lambda name: names_one(name, head.labels))
    if not found.classes:
        if found.table is None:
            return _samples(found, tuple((path, None) for path in found.loose), found.notes, head.channels)
        indices, others = read_classes(found.table, found.root, found.loose, head)
        named = others if indices is None else {head.name: indices, **others}
        of = f" of {', '.join(named)}" if others else ""
        notes = [f"{found.path}: the classes{of} are from {found.table.name}"] if named else []
        files = tuple(zip(found.loose, indices or (None,) * len(found.loose), strict=True))
        return _samples(found, files, (*found.notes, *notes), head.channels, others)
    classes, said = _classes(found, head)
    files = tuple((path, classes[name]) for name, paths in found.classes for path in paths)
    if found.table is None:
        return _samples(found, files, (*found.notes, *said), head.channels)
    others = read_heads(found.table, found.root, [path for path, _ in files], head.others)
    said += (f"{found.path}: {_of_table(found.table.name, others)}; the folders say the classes",)
    return _samples(found, files, (*found.notes, *said), head.channels, others)


def _of_table(name: str, heads: Mapping[str, tuple[int, ...]]) -> str:
    return f"the classes of {', '.join(heads)} are from {name}" if heads else f"{name} was left out"


def _classes(found: Listing, head: Head) -> tuple[dict[str, int], tuple[str, ...]]:
    """The class of each folder with images, and what has to be said about the others."""
    filled = tuple(name for name, paths in found.classes if paths)
    empty = tuple(name for name, paths in found.classes if not paths)
    notes = []
    if head.labels and (indices := index_folders(filled, head.labels, found.path)) is not None:
        classes = indices
        first = filled[0]
        notes.append(
            f"{found.path}: class folders are called by numbers, taken for the indices of the labels ({first} is "
            f"{head.labels[classes[first]]})"
        )
    elif head.labels:
        classes = match_names(filled, head.labels, found.path, "folder")
    else:
        classes = number_folders(filled, empty, head.classes, found.path)
        first = min(classes, key=lambda name: classes[name])
        notes.append(
            f"{found.path}: the model has no labels, so class folders were numbered in sorted order "
            f"({first} is {classes[first]})"
        )
    if empty:
        notes.append(f"{found.path}: no images in the class folders {some_of(empty)}")
    missing = [label for index, label in enumerate(head.labels) if index not in classes.values()]
    if missing:
        notes.append(
            f"{found.path}: no images of {len(missing)} of {len(head.labels)} classes: {some_of(missing)}"
        )
    return classes, tuple(notes)


def _samples(
    found: Listing,
    files: tuple[tuple[Path, int | None], ...],
    warnings: tuple[str, ...],
    channels: int,
    others: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> Samples:
    names = tuple(path.relative_to(found.root).as_posix() for path, _ in files)
    classes = tuple(index for _, index in files if index is not None)

    def read(index: int) -> Picture:
        return decode(files[index][0], channels)

    def digest() -> str:
        total = hashlib.sha256()
        for name, (path, _) in zip(names, files, strict=True):
            try:
                content = hashlib.sha256(regular_file(path, "image").read_bytes()).hexdigest()
            except (OSError, InputError):
                content = "unreadable"  # `read` is where this is an error, unless such files are left out
            total.update(f"{name}\n{content}\n".encode(errors="surrogateescape"))
        return total.hexdigest()

    return Samples(found.path, names, classes or None, read, digest, warnings, others)


SAMPLES: Final = SampleSource(
    summary="a folder of class folders, or a flat folder without labels; of train, val and test the one for its use",
    accepts=accepts,
    survey=survey,
    open=open_folder,
)
