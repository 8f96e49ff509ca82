"""The classes of a flat folder in the `metadata.csv` beside its images, as Hugging Face's ImageFolder has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from calibration.samples._arrays import class_indices
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head
from edgevit.core.reading import read_bytes, reading

NAME: Final = "metadata.csv"
_FILE: Final = "file_name"
_LABELS: Final = ("label", "labels", "class", "category")


def has_classes(path: Path | None) -> bool:
    """Whether the table has a column of classes; raises as `read_classes` does."""
    return path is not None and bool(_rows(path)[1])


def read_classes(path: Path, root: Path, images: Sequence[Path], head: Head) -> tuple[int, ...] | None:
    """The class of each image, by `file_name` and `label`: names of classes, or indices. None without `label`.

    Args:
        path: of the table; file names in it are relative to `root`.
        head: the model's classes, as far as they are known.

    Raises:
        InputError: no CSV in UTF-8, no row for an image, or classes that are not the model's.
    """
    import numpy as np

    rows, column = _rows(path)
    if not column:
        return None
    classes = {Path(row[_FILE] or "").as_posix(): row[column] or "" for row in rows}
    names = [image.relative_to(root).as_posix() for image in images]
    missing = next((name for name in names if not classes.get(name)), None)
    if missing is not None:
        raise InputError(f"{path} has no {column} for {missing}", "add a row for it, or move the image away")
    given = [classes[name] for name in names]
    if all(text.isascii() and text.isdigit() for text in given) and not set(given) <= set(head.labels):
        return class_indices(np.asarray(list(map(int, given))), len(given), head, str(path), column)
    return class_indices(np.asarray(given), len(given), head, str(path), column)


def _rows(path: Path) -> tuple[list[dict[str, str | None]], str]:
    """The rows of the table, and its column of classes; "" without one."""
    with reading(path, "table of images"):
        text = read_bytes(path, "table of images", 64 << 20).decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""))
        headings = list(table.fieldnames or ())
        if _FILE not in headings:
            return [], ""
        return list(table), next((name for name in _LABELS if name in headings), "")
