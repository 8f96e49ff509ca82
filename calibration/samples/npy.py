"""A `.npy` file of images, without labels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from calibration.arrays import as_picture, checked, is_one, read_npy
from calibration.samples._headers import array_shape
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.plugins import Head, Role, Samples, SampleSource, Survey


def accepts(text: str) -> bool:
    """Any text that ends in .npy."""
    return text.endswith(".npy")


def survey(text: str, role: Role) -> Survey:
    """How many there are, from the header alone.

    Raises:
        InputError: missing, or no array.
    """
    path = regular_file(Path(text), "samples", "give a .npy file of images")
    with reading(text, ".npy file"), path.open("rb") as file:
        shape = array_shape(file)
    return Survey(1 if is_one(shape) else shape[0] if shape else 0, labelled=False)


def open_npy(text: str, head: Head, role: Role) -> Samples:
    """uint8 (N, height, width), (N, height, width, 1, 3 or 4), or one image (height, width, 3 or 4).

    Raises:
        InputError: unreadable, or of another shape or type.
    """
    images = checked(read_npy(Path(text), text), text, head.channels)

    def digest() -> str:
        return hashlib.sha256(f"{images.shape}\n".encode() + images.tobytes()).hexdigest()

    names = tuple(f"{text}[{index}]" for index in range(len(images)))
    note = f"{text} has no labels; a .npz file with `images` and `labels` has both"
    return Samples(text, names, None, lambda index: as_picture(images[index], head.channels), digest, (note,))


SAMPLES: Final = SampleSource(
    summary="FILE.npy, an array of images (N, height, width, channels uint8) without labels",
    accepts=accepts,
    survey=survey,
    open=open_npy,
)
