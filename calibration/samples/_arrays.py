"""Images and labels in one .npz file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calibration.arrays import as_picture, checked, is_one
from calibration.samples._classes import match_names
from calibration.samples._headers import array_shape
from edgevit.core.disk.archive import check_zip
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.plugins import Head, Picture, Samples, Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN: Final = 5


def read_npz(path: Path, text: str, head: Head) -> Samples:
    """Read `images`, uint8 (N, H, W), (N, H, W, C) with C of 1, 3 or 4, or one colour image, and, if present, `labels`.

    Of a model with several labelled outputs, `labels` are those of the first, `labels_NAME` those of any.

    Labels are integers (N,) or (N, 1) from 0, or names (N,). Grey images are repeated to RGB; of RGBA the alpha
    is dropped, as Pillow's convert("RGB") does.

    Args:
        text: what the user gave, for messages.
        head: the model's classes, as far as they are known.

    Raises:
        InputError: missing, malformed, of another shape or type, or labels that are not the model's classes.
    """
    import numpy as np

    regular_file(path, "samples", "give a .npz file with `images`")
    check_zip(path, stored_only=False)
    with reading(text, ".npz file"), np.load(path, allow_pickle=False) as arrays:
        if not hasattr(arrays, "files") or "images" not in arrays.files:
            raise InputError(
                f"{text} lacks the array `images`",
                f"it has {', '.join(arrays.files) or 'none'}; save them as `images` and `labels`",
            )
        images = _array(arrays, "images", text)
        own = next((name for name in ("labels", f"labels_{head.name}") if name in arrays.files), None)
        classes = None if own is None else _array(arrays, own, text)
        beside = {
            other: _array(arrays, f"labels_{other.name}", text)
            for other in head.others
            if f"labels_{other.name}" in arrays.files
        }
        read = {"images", own, *(f"labels_{other.name}" for other in beside)}
        others = [name for name in arrays.files if name not in read]
    pictures = checked(images, f"{text}: `images`", head.channels)
    indices = (
        None if classes is None or own is None else class_indices(classes, len(pictures), head, text, own)
    )
    more = {
        o.name: class_indices(found, len(pictures), o, text, f"labels_{o.name}")
        for o, found in beside.items()
    }

    def digest() -> str:
        total = hashlib.sha256(f"{images.shape}\n".encode())
        total.update(np.ascontiguousarray(images).data)
        return total.hexdigest()

    names = tuple(f"{text}[{index}]" for index in range(len(pictures)))
    warnings = _unread(others, text) if classes is None else ()

    def read_one(index: int) -> Picture:
        return as_picture(pictures[index], head.channels)

    return Samples(text, names, indices, read_one, digest, warnings, more)


def _array(arrays: Mapping[str, Any], name: str, text: str) -> NDArray[Any]:
    import numpy as np

    try:
        found = arrays[name]
    except MemoryError as error:  # more than there is, which a few wrong bytes can ask for
        raise InputError(
            f"{text} is not a readable .npz file: {brief(error)}",
            "write it again with numpy.savez(FILE, images=images, labels=labels)",
        ) from error
    if not isinstance(found, np.ndarray):  # a member that does not begin as one is given as it is
        raise InputError(
            f"{text}: {name!r} in it is no array",
            "write it again with numpy.savez(FILE, images=images, labels=labels)",
        )
    return found


def _unread(others: list[str], text: str) -> tuple[str, ...]:
    """What to tell where there are no labels: they may be there under another name."""
    if not others:
        return ()
    named = ", ".join(others[:_SHOWN]) + (" ..." if len(others) > _SHOWN else "")
    return (f"{text} has no array `labels`; {named} in it is not read",)


def survey_npz(path: Path, text: str) -> Survey:
    """How many images there are and whether they have labels, from the headers of the arrays alone.

    Raises:
        InputError: missing, no `.npz` file, or without `images`.
    """
    regular_file(path, "samples", "give a .npz file with `images`")
    check_zip(path, stored_only=False)
    with reading(path, ".npz file"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise InputError(f"{text} lacks the array `images`", f"it has {', '.join(names) or 'none'}")
        with archive.open("images.npy") as array:
            shape = array_shape(array)
    labelled = any(name == "labels.npy" or name.startswith("labels_") for name in names)
    return Survey(1 if is_one(shape) else shape[0] if shape else 0, labelled)


def class_indices(
    classes: NDArray[Any], count: int, head: Head, text: str, column: str = "labels"
) -> tuple[int, ...]:
    """The class of each image, from indices or names.

    Args:
        column: what messages call them, in the file `text`.

    Raises:
        InputError: not one for each image, or not classes of the model.
    """
    found = f"{text}: `{column}` is {classes.dtype} {classes.shape}"
    if classes.ndim == 2 and classes.shape[0] == count and classes.shape[1] > 1:
        raise InputError(
            f"{found}, a row for each image", "save one class index for each: labels.argmax(axis=1)"
        )
    if classes.shape not in ((count,), (count, 1)):
        raise InputError(
            f"{found}, not one for each of {count} images",
            "save labels of shape (N,), one class index for each image",
        )
    flat = classes.reshape(-1)
    if flat.dtype.kind in "US":
        return _named(flat, head, text, column)
    if flat.dtype.kind not in "iu":
        raise InputError(
            f"{found}, not {count} integers for {count} images",
            "save labels of shape (N,), one class index for each image",
        )
    low, high = int(flat.min()), int(flat.max())
    if low >= 0 and (head.classes is None or high < head.classes):
        return tuple(flat.tolist())
    if low == 1 and high == head.classes:
        raise InputError(
            f"{text}: `{column}` run from 1 to {high}: they count from 1, the model's {high} classes from 0",
            f"save `{column} - 1`",
        )
    allowed = "0 and up" if head.classes is None else f"0 to {head.classes - 1}"
    raise InputError(
        f"{text}: `{column}` run from {low} to {high}, but the model's classes are {allowed}",
        "labels are class indices in the order of the model's outputs, from 0",
    )


def _named(classes: NDArray[Any], head: Head, text: str, column: str) -> tuple[int, ...]:
    if not head.labels:
        raise InputError(
            f"{text}: `{column}` are names, and the model has none to compare them with",
            "name its classes with --labels FILE, or save class indices",
        )
    names = [
        given.decode(errors="replace") if isinstance(given, bytes) else str(given)
        for given in classes.tolist()
    ]
    index = match_names(tuple(dict.fromkeys(names)), head.labels, text, "label")
    return tuple(index[name] for name in names)
