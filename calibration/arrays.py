"""Arrays of pixels, as NumPy files hold them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.plugins import Picture
from edgevit.core.reading import reading
from edgevit.core.regular import regular_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CHANNELS = (1, 3, 4)  # of pictures; other numbers are bands, which only some models take


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
        raise InputError(f"{text} is not a readable .npy file: {brief(error)}") from error


def read_picture(path: Path) -> Picture:
    """One image of a `.npy` file, uint8 (height, width) or (height, width, 1, 3 or 4).

    Raises:
        InputError: unreadable, or another shape or type.
    """
    array = read_npy(path, str(path))
    if array.ndim not in (2, 3):
        raise InputError(f"{path} holds {_what(array)}, not one image: uint8 (height, width, 1, 3 or 4)")
    images = checked(array[None] if array.ndim == 3 else array[None, ..., None], str(path))
    return as_picture(images[0])


def as_picture(image: NDArray[Any]) -> Picture:
    """uint8 (height, width, channels), as it is: the model says how many channels it wants."""
    import numpy as np

    return Picture(np.ascontiguousarray(image, np.uint8))


def checked(images: NDArray[Any], where: str) -> NDArray[Any]:
    """Images as uint8 (N, height, width, 1, 3 or 4), given so or as (N, height, width).

    Args:
        where: what messages call the array.

    Raises:
        InputError: another shape or type, or no image at all; the hint names what it takes to make pixels of it.
    """
    if images.dtype.kind not in "biuf" or images.dtype != "uint8":
        raise InputError(
            f"{where} is {_what(images)}, not uint8 (N, height, width, 1, 3 or 4)", _scaling(images)
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] not in _CHANNELS and images.shape[1] in _CHANNELS:
        raise InputError(
            f"{where} is {_what(images)}: the channels stand before the rows",
            "move them to the end: images.transpose(0, 2, 3, 1)",
        )
    if images.ndim != 4:
        raise InputError(f"{where} is {_what(images)}, not uint8 (N, height, width, channels)")
    if 0 in images.shape:
        raise InputError(f"{where} holds no images: its shape is {images.shape}")
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
