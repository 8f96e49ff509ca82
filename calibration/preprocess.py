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
        image: a decoded image; or any Pillow image, which is converted to RGB, or uint8 (height, width, channels),
            RGB where there are three, both taken as they are.
        name: for messages.

    Returns:
        uint8 (preprocess.height, preprocess.width, channels), RGB whatever `preprocess.color` says; grey of a
        model for one channel, by the weights of Pillow's convert("L"), made before anything is resized.

    Raises:
        InputError: so long and thin that it would be absurdly large once its shorter side fits; or of another number
            of channels than the model takes.
        ValueError: an array of another shape or type.
    """
    import numpy as np

    pillow = require("PIL.Image")
    if isinstance(image, Picture):
        image = upright(image.pixels, image.orientation if preprocess.orient == "exif" else 1)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
            raise ValueError(f"uint8 (height, width, channels) is needed, not {image.dtype} {image.shape}")
        planes = planes_of(image, preprocess.channels, name)
    else:
        planes = (image.convert("L" if preprocess.channels == 1 else "RGB"),)
    size = planes[0].size
    width, height = _resized(size, preprocess)
    if width * height > MAX_RESIZED:
        raise InputError(
            f"{name} of {size[0]}x{size[1]} pixels would be resized to {width}x{height}",
            "crop it, or leave it out with --skip-bad-images",
        )
    if (width, height) != size:
        filter_ = getattr(pillow.Resampling, preprocess.interpolation.upper())
        planes = tuple(plane.resize((width, height), filter_) for plane in planes)
    pixels = np.dstack([np.asarray(p, np.uint8) for p in planes])
    return _centre(
        pixels, preprocess.height, preprocess.width, preprocess.border or (0,) * preprocess.channels
    )


def planes_of(image: Pixels, channels: int, name: str = "the image") -> tuple[Image.Image, ...]:
    """Pillow's images that hold so many channels together: one of colours or of grey, else one for each band.

    Grey is repeated for a model of colours, alpha is dropped, and colours become grey where it takes one channel.

    Raises:
        InputError: the model takes another number of bands.
    """
    import numpy as np

    pillow = require("PIL.Image")
    own = image.shape[2]
    if own == channels and channels not in (1, 3):
        return tuple(pillow.fromarray(np.ascontiguousarray(image[..., band])) for band in range(channels))
    if channels not in (1, 3) or own not in (1, 3, 4):
        raise InputError(
            f"{name} has {own} channel{'s' if own > 1 else ''}, the model takes {channels}",
            f"give arrays: a .npz with `images`, uint8 (N, height, width, {channels}), or .npy files",
        )
    if own == 1:
        grey = pillow.fromarray(np.ascontiguousarray(image[..., 0]))
        return (grey if channels == 1 else grey.convert("RGB"),)
    colours = pillow.fromarray(np.ascontiguousarray(image[..., :3]))
    return (colours if channels == 3 else colours.convert("L"),)


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
    if preprocess.border is not None:  # all of it, by the longer side: timm's ResizeKeepRatio again
        ratio = max(height / wanted_height, width / wanted_width)
        return max(round(width / ratio), 1), max(round(height / ratio), 1)
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


def _centre(pixels: Pixels, height: int, width: int, border: tuple[int, ...]) -> Pixels:
    """Crop the centre; where the image is smaller it gets a border first, as torchvision and timm do."""
    import numpy as np

    short_y, short_x = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
    if short_y or short_x:
        framed = np.empty((pixels.shape[0] + short_y, pixels.shape[1] + short_x, pixels.shape[2]), np.uint8)
        framed[:] = border
        top, left = short_y // 2, short_x // 2
        framed[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        pixels = framed
    top, left = round((pixels.shape[0] - height) / 2), round((pixels.shape[1] - width) / 2)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
