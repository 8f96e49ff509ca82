"""From a decoded image to the model's input, pixel for pixel as timm and torchvision do it with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.plugins import Picture
from edgevit.core.require import require
from edgevit.core.types import Preprocess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    Pixels = NDArray[np.uint8]

MAX_RESIZED = 1 << 27  # pixels: a strip of 1x60000 grows with the square of its longer side


def to_pixels(
    image: Picture | Image.Image | Pixels, preprocess: Preprocess, name: str = "the image"
) -> Pixels:
    """Turn upright if `preprocess.orient` says so, resize and crop.

    Args:
        image: a decoded image; or any Pillow image, which is converted to RGB, or uint8 (height, width, 3) RGB,
            both taken as they are.
        name: for messages.

    Returns:
        uint8 (preprocess.height, preprocess.width, 3), RGB whatever `preprocess.color` says.

    Raises:
        InputError: so long and thin that it would be absurdly large once its shorter side fits.
        ValueError: an array of another shape or type.
    """
    import numpy as np

    pillow = require("PIL.Image")
    if isinstance(image, Picture):
        image = upright(image.pixels, image.orientation if preprocess.orient == "exif" else 1)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"uint8 (height, width, 3) is needed, not {image.dtype} {image.shape}")
        picture = pillow.fromarray(np.ascontiguousarray(image))
    else:
        picture = image.convert("RGB")
    width, height = _resized(picture.size, preprocess)
    if width * height > MAX_RESIZED:
        raise InputError(
            f"{name} of {picture.width}x{picture.height} pixels would be resized to {width}x{height}",
            "crop it, or leave it out with --skip-bad-images",
        )
    if (width, height) != picture.size:
        picture = picture.resize(
            (width, height), getattr(pillow.Resampling, preprocess.interpolation.upper())
        )
    return _centre(np.asarray(picture, np.uint8), preprocess.height, preprocess.width)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo how the camera was held: uint8 (height, width, 3), the sides exchanged from orientation 5 on.

    EXIF (CIPA DC-008, 4.6.4 A) says which sides of the scene the first row and the first column show.
    """
    import numpy as np

    if orientation in (5, 6, 7, 8):  # the first row is the left or the right side
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):  # then left and right are exchanged
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):  # and top and bottom
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _resized(size: tuple[int, int], preprocess: Preprocess) -> tuple[int, int]:
    """(width, height) after resizing an image of `size` = (width, height)."""
    wanted_height, wanted_width = preprocess.resize
    width, height = size
    if not preprocess.shorter_side:
        return wanted_width, wanted_height
    if wanted_height != wanted_width:
        # A rectangle is covered, and sides are rounded half to even: timm's ResizeKeepRatio.
        ratio = min(height / wanted_height, width / wanted_width)
        return round(width / ratio), round(height / ratio)
    # torchvision's Resize(int): the longer side is cut off, not rounded.
    if width <= height:
        return wanted_width, int(wanted_width * height / width)
    return int(wanted_height * width / height), wanted_height


def _centre(pixels: Pixels, height: int, width: int) -> Pixels:
    """Crop the centre; where the image is smaller it gets a black border first, as torchvision does."""
    import numpy as np

    short_y, short_x = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
    if short_y or short_x:
        borders = ((short_y // 2, (short_y + 1) // 2), (short_x // 2, (short_x + 1) // 2), (0, 0))
        pixels = np.pad(pixels, borders)
    top, left = round((pixels.shape[0] - height) / 2), round((pixels.shape[1] - width) / 2)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
