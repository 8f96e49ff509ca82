"""Classes, of several heads too, in the `metadata.csv` beside images, as Hugging Face's ImageFolder has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from calibration.samples._arrays import class_indices
from edgevit.core.disk.reading import read_bytes, reading
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head

NAME: Final = "metadata.csv"
_FILE: Final = "file_name"
_LABELS: Final = ("label", "labels", "class", "category")
_OF_HEADS: Final = ("labels_", "label_")  # before the name of an output


def has_classes(path: Path | None) -> bool:
    """Whether the table has a column of classes; raises as `read_classes` does."""
    headings = () if path is None else _rows(path)[1]
    return any(name in _LABELS or name.startswith(_OF_HEADS) for name in headings)


def read_classes(
    path: Path, root: Path, images: Sequence[Path], head: Head
) -> tuple[tuple[int, ...] | None, dict[str, tuple[int, ...]]]:
    """The class of each image for the first output, None without a column, and for others by their names.

    Columns are `file_name`, `label` for the first output, and `labels_NAME` or `label_NAME` for the output NAME.
    Classes are names, or indices.

    Args:
        path: of the table; file names in it are relative to `root`.
        head: the model's classes, as far as they are known.

    Raises:
        InputError: no CSV in UTF-8, no row for an image, or classes that are not the model's.
    """
    return _indices(path, root, images, head, _LABELS), read_heads(path, root, images, head.others)


def read_heads(
    path: Path, root: Path, images: Sequence[Path], heads: Sequence[Head]
) -> dict[str, tuple[int, ...]]:
    """The class of each image for those of `heads` that have a column; raises as `read_classes` does."""
    found = {head.name: _indices(path, root, images, head) for head in heads}
    return {name: given for name, given in found.items() if given is not None}


def _indices(
    path: Path, root: Path, images: Sequence[Path], head: Head, names: Sequence[str] = ()
) -> tuple[int, ...] | None:
    rows, headings = _rows(path)
    columns = (*names, *(f"{word}{head.name}" for word in _OF_HEADS))
    column = next((name for name in columns if name in headings), None)
    if column is None:
        return None
    by_name = {Path(row[_FILE] or "").as_posix(): row for row in rows}
    found = [by_name.get(image.relative_to(root).as_posix(), {}) for image in images]
    return _column(path, root, column, found, images, head)


def _column(
    path: Path,
    root: Path,
    column: str,
    rows: Sequence[Mapping[str, str | None]],
    images: Sequence[Path],
    head: Head,
) -> tuple[int, ...]:
    import numpy as np

    given = [row.get(column) or "" for row in rows]
    if "" in given:
        missing = images[given.index("")].relative_to(root).as_posix()
        raise InputError(f"{path} has no {column} for {missing}", "add a row for it, or move the image away")
    if all(text.isascii() and text.isdigit() for text in given) and not set(given) <= set(head.labels):
        return class_indices(np.asarray(list(map(int, given))), len(given), head, str(path), column)
    return class_indices(np.asarray(given), len(given), head, str(path), column)


def _rows(path: Path) -> tuple[list[dict[str, str | None]], tuple[str, ...]]:
    """The rows of the table and its headings; none if it does not name files."""
    with reading(path, "table of images"):
        text = read_bytes(path, "table of images", 64 << 20).decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""))
        headings = tuple(table.fieldnames or ())
        return (list(table), headings) if _FILE in headings else ([], ())
