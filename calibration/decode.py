"""Decode one image file as PyTorch's image folders do: first frame, converted to RGB, EXIF rotation ignored."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.reading import reading
from edgevit.core.regular import regular_file
from edgevit.core.require import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 1 << 27  # 134 megapixels, 400 MB decoded


def decode(path: Path) -> NDArray[np.uint8]:
    """Read a JPEG, PNG, WebP or BMP file: uint8 (height, width, 3), RGB.

    The EXIF orientation is not applied, since torchvision's and timm's datasets, on which models are
    trained and judged, do not apply it either.

    Raises:
        InputError: missing, truncated, no image, absurdly large, or grey with 16 bits; the message names the
            file.
    """
    pillow = require("PIL.Image")
    regular_file(path, "image")
    unknown = require("PIL").UnidentifiedImageError
    try:
        with (
            reading(path, "image", passing=(pillow.DecompressionBombError, unknown)),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's own, lower limit, and damaged EXIF
            with pillow.open(path, formats=FORMATS) as image:
                return _rgb(image, path)
    except pillow.DecompressionBombError as error:
        raise InputError(f"{path} would decompress to an absurd size: {brief(error)}") from error
    except unknown as error:
        raise InputError(f"{path} is not an image (JPEG, PNG, WebP and BMP are read)") from error


def _rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    import numpy as np

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} would decompress to {width}x{height} pixels; at most {MAX_PIXELS} are read",
            "make it smaller, or leave it out with --skip-bad-images",
        )
    if image.mode.startswith(("I", "F")):
        # Pillow would cut every value off at 255: a white image.
        raise InputError(
            f"image {path} has more than 8 bits a channel (mode {image.mode})",
            "convert it to 8 bits, or leave it out with --skip-bad-images",
        )
    return np.asarray(image.convert("RGB"), np.uint8)
