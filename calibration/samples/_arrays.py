"""Images and labels in one .npz file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.archive import check_zip
from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.plugins import Samples, Survey
from edgevit.core.reading import reading
from edgevit.core.regular import regular_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

_SHOWN: Final = 5


def read_npz(path: Path, text: str, labels: tuple[str, ...]) -> Samples:
    """Read `images`, uint8 (N, H, W) or (N, H, W, C) with C of 1, 3 or 4, and `labels`, integers (N,), if present.

    Grey images are repeated to RGB; of RGBA the alpha is dropped, as Pillow's convert("RGB") does.

    Args:
        text: what the user gave, for messages.
        labels: the model's class names; empty if unknown.

    Raises:
        InputError: missing, malformed, of another shape or type, or a label out of range.
    """
    import numpy as np

    regular_file(path, "samples", "give a .npz file with `images`")
    check_zip(path, stored_only=False)
    with reading(text, ".npz file"), np.load(path, allow_pickle=False) as arrays:
        if not hasattr(arrays, "files") or "images" not in arrays.files:
            raise InputError(
                f"{text} lacks the array `images`", f"it has {', '.join(arrays.files) or 'none'}"
            )
        images = _array(arrays, "images", text)
        classes = _array(arrays, "labels", text) if "labels" in arrays.files else None
        others = [name for name in arrays.files if name not in ("images", "labels")]
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[3] not in (1, 3, 4))
    ):
        raise InputError(
            f"{text}: `images` is {images.dtype} {images.shape}, not uint8 (N, height, width, 1, 3 or 4)"
        )
    if 0 in images.shape:
        raise InputError(f"{text} holds no images: `images` has the shape {images.shape}")
    indices = None if classes is None else _indices(classes, len(images), labels, text)
    pictures = images if images.ndim == 4 else images[..., None]

    def read(index: int) -> Pixels:
        picture = pictures[index]
        rgb = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[..., :3]
        return np.ascontiguousarray(rgb, np.uint8)

    def digest() -> str:
        total = hashlib.sha256(f"{images.shape}\n{indices}\n".encode())
        total.update(np.ascontiguousarray(images).data)
        return total.hexdigest()

    names = tuple(f"{text}[{index}]" for index in range(len(images)))
    return Samples(text, names, indices, read, digest, _unread(others, text) if classes is None else ())


def _array(arrays: Mapping[str, Any], name: str, text: str) -> NDArray[Any]:
    import numpy as np

    try:
        found = arrays[name]
    except MemoryError as error:  # more than there is, which a few wrong bytes can ask for
        raise InputError(f"{text} is not a readable .npz file: {brief(error)}") from error
    if not isinstance(found, np.ndarray):  # a member that does not begin as one is given as it is
        raise InputError(f"{text}: {name!r} in it is no array")
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
    import numpy as np

    regular_file(path, "samples", "give a .npz file with `images`")
    check_zip(path, stored_only=False)
    with reading(path, ".npz file"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise InputError(f"{text} lacks the array `images`", f"it has {', '.join(names) or 'none'}")
        with archive.open("images.npy") as array:
            old = np.lib.format.read_magic(array) == (1, 0)
            read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
            shape = read(array)[0]
    return Survey(int(shape[0]) if shape else 0, "labels.npy" in names)


def _indices(classes: NDArray[Any], count: int, labels: tuple[str, ...], text: str) -> tuple[int, ...]:
    import numpy as np

    if not np.issubdtype(classes.dtype, np.integer) or classes.shape != (count,):
        raise InputError(
            f"{text}: `labels` is {classes.dtype} {classes.shape}, not {count} integers for {count} images"
        )
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or (labels and high >= len(labels)):
        allowed = f"0 to {len(labels) - 1}" if labels else "0 and up"
        raise InputError(
            f"{text}: `labels` run from {low} to {high}, but the model's classes are {allowed}",
            "labels are class indices in the order of the model's labels",
        )
    return tuple(classes.tolist())
