"""Arrays of pixels, as NumPy files hold them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.plugins import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CHANNELS = (1, 3, 4)  # of pictures; other numbers are bands, which only some models take
_PICTURES = (1, 3)  # of models that take them


def read_npy(path: Path, text: str) -> NDArray[Any]:
    """The array of a `.npy` file; `text` is what messages call it.

    Raises:
        InputError: missing, damaged, or it holds Python objects.
    """
    import numpy as np

    regular_file(path, "array", "give a .npy file of pixels")
    try:
        with reading(text, ".npy file"), path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError as error:  # more than there is, which a few wrong bytes can ask for
        raise InputError(
            f"{text} is not a readable .npy file: {brief(error)}", "write it again with numpy.save"
        ) from error


def read_picture(path: Path, channels: int = 3) -> Picture:
    """One image of a `.npy` file, uint8 (height, width) or (height, width, 1, 3, 4 or `channels`).

    Args:
        channels: that the model takes; of four, the last is dropped as alpha unless the model takes four.

    Raises:
        InputError: unreadable, or another shape or type.
    """
    array = read_npy(path, str(path))
    if array.ndim not in (2, 3):
        raise InputError(
            f"{path} holds {_what(array)}, not one image: uint8 (height, width, 1, 3 or 4)",
            "save one image for each .npy file, as uint8",
        )
    batch = array[None] if array.ndim == 3 else array[None, ..., None]
    return as_picture(checked(batch, str(path), channels)[0], channels)


def as_picture(image: NDArray[Any], channels: int = 3) -> Picture:
    """An image of as many channels as the model takes, or of bands, as it is; others as Pillow's convert("RGB").

    Grey is repeated and alpha dropped.

    Args:
        image: uint8 (height, width, channels).
    """
    import numpy as np

    if image.shape[2] in _CHANNELS and image.shape[2] != channels:
        image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    return Picture(np.ascontiguousarray(image, np.uint8))


def is_one(shape: tuple[int, ...]) -> bool:
    """Whether it is one picture, its colours last of three axes: no grey image is three or four pixels wide."""
    return len(shape) == 3 and shape[2] in (3, 4)


def checked(images: NDArray[Any], where: str, channels: int = 3) -> NDArray[Any]:
    """Images as uint8 (N, height, width, 1, 3, 4 or `channels`), given so, as (N, height, width), or as one picture.

    Args:
        where: what messages call the array.
        channels: that the model takes.

    Raises:
        InputError: another shape or type, or no image at all; the hint names what it takes to make pixels of it.
    """
    if images.dtype.kind not in "biuf" or images.dtype != "uint8":
        raise InputError(
            f"{where} is {_what(images)}, not uint8 (N, height, width, 1, 3 or 4)", _scaling(images)
        )
    if images.ndim == 3:
        images = images[None] if is_one(images.shape) else images[..., None]
    allowed = (*_CHANNELS, channels)
    if images.ndim == 4 and images.shape[3] not in allowed and images.shape[1] in allowed:
        raise InputError(
            f"{where} is {_what(images)}: the channels stand before the rows",
            "move them to the end: images.transpose(0, 2, 3, 1)",
        )
    if (
        images.ndim != 4
        or images.shape[3] not in allowed
        or (channels not in _PICTURES and images.shape[3] != channels)
    ):
        kinds = "1, 3 or 4" if channels in _PICTURES else channels
        raise InputError(
            f"{where} is {_what(images)}, not uint8 (N, height, width, {kinds})",
            "save the pixels as they are, before any normalisation",
        )
    if 0 in images.shape:
        raise InputError(
            f"{where} holds no images: its shape is {images.shape}", "save at least one image in it"
        )
    return images


def _scaling(images: NDArray[Any]) -> str:
    if images.dtype.kind != "f" or not images.size:
        return "save pixels of 0 to 255 as uint8" if images.dtype.kind in "iu" else ""
    if images.min() >= 0 and images.max() <= 1:
        return "save pixels: (255 * images).round().astype(numpy.uint8)"
    if images.min() >= 0 and images.max() <= 255:
        return "save pixels: images.round().astype(numpy.uint8)"
    return "save the images before they are normalised, as uint8; edgevit normalises them as the model says"


def _what(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
