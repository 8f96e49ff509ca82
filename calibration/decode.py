"""Decode one image file: its first frame as RGB of 8 bits a channel, and what has to be told of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calibration.kinds import HEAD, RAW_SUFFIXES, READ, kind_of
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, MissingDependencyError
from edgevit.core.foreign import brief
from edgevit.core.plugins import Picture
from edgevit.core.require import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# As Pillow calls them; HEIF is its name once pillow-heif has registered itself.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
MAX_PIXELS: Final = 1 << 27  # 134 megapixels, 400 MB decoded

FRAMES: Final = "several frames or pages, of which the first is used"
DEEP: Final = "16 bits a channel, of which the upper 8 are used"

_ORIENTATION: Final = 0x0112  # EXIF 2.3, 4.6.4; tags of TIFF below
_DNG_VERSION: Final = 0xC612
_PHOTOMETRIC: Final = 0x0106
_WHITE_IS_ZERO: Final = 0
# Below this the upper eight bits hold fewer than 16 levels: data of 12 bits or less in a file of 16.
_LEAST_PEAK: Final = 1 << 12
_SKIP: Final = "or leave it out with --skip-bad-images"
# What Pillow converts to RGB without losing more than the alpha.
_MODES: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


def decode(path: Path, channels: int = 3) -> Picture:
    """Read JPEG, PNG, WebP, BMP, GIF, TIFF, PNM, AVIF, HEIC, or a NumPy array of pixels.

    Colours are what Pillow's convert("RGB") gives, as in timm, torchvision and transformers: of transparent
    pixels the colour counts and the alpha is dropped. The rotation that EXIF asks for is told, not applied; of
    HEIC and TIFF the library has applied it.

    Args:
        channels: that the model takes, which an array may hold as they are.

    Raises:
        InputError: missing, truncated, no image or one of another kind, absurdly large, or with values that have no
            meaning in 8 bits; the message names the file.
        MissingDependencyError: HEIC or AVIF without what decodes it.
    """
    pillow = require("PIL.Image")
    kind = _kind(regular_file(path, "image"))
    if kind == "NumPy":
        from calibration.arrays import read_picture

        return read_picture(path, channels)
    unknown = require("PIL").UnidentifiedImageError
    try:
        with (
            reading(path, "image", passing=(pillow.DecompressionBombError, unknown)),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's own, lower limit, and damaged EXIF
            with pillow.open(path, formats=_formats(kind, path)) as image:
                return _picture(image, path)
    except pillow.DecompressionBombError as error:
        raise InputError(
            f"{path} would decompress to an absurd size: {brief(error)}", f"make it smaller, {_SKIP}"
        ) from error
    except unknown as error:
        if kind:
            raise InputError(
                f"{path} is damaged, or {kind} of a form that Pillow does not read",
                f"save it as PNG, {_SKIP}",
            ) from error
        raise InputError(
            f"{path} is not an image ({', '.join(READ)} are read)", f"convert it to PNG or JPEG, {_SKIP}"
        ) from error


def _kind(path: Path) -> str:
    with reading(path, "image"), path.open("rb") as file:
        kind = kind_of(file.read(HEAD))
    if path.suffix.lower() in RAW_SUFFIXES:
        kind = "the raw data of a camera"
    if kind and kind not in READ:
        raise InputError(f"{path} is {kind}, which is not read", f"convert it to PNG or JPEG, {_SKIP}")
    return kind


def _formats(kind: str, path: Path) -> tuple[str, ...]:
    """What Pillow may open it as.

    Raises:
        MissingDependencyError: nothing here decodes HEIC or AVIF.
    """
    if kind == "HEIC":
        try:
            require("pillow_heif", "heic").register_heif_opener()
        except MissingDependencyError as error:
            raise MissingDependencyError(
                f"{path} is HEIC: {error.message}", f"{error.hint}, or convert the images to JPEG"
            ) from error
        return ("HEIF",)
    if kind == "AVIF" and not require("PIL.features").check("avif"):
        raise MissingDependencyError(
            f"{path} is AVIF, which the Pillow that is installed cannot decode",
            "pip install --upgrade --force-reinstall Pillow, or convert the images to PNG",
        )
    return FORMATS


def _picture(image: Image.Image, path: Path) -> Picture:
    import numpy as np

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} would decompress to {width}x{height} pixels; at most {MAX_PIXELS} are read",
            f"make it smaller, {_SKIP}",
        )
    tags: Any = getattr(image, "tag_v2", {})  # of TIFF
    if _DNG_VERSION in tags:
        raise InputError(
            f"{path} is the raw data of a camera, which is not read", f"convert it to PNG or JPEG, {_SKIP}"
        )
    # A phone's JPEG may hold a depth map or the other eye's view as well; those are no frames.
    remarks = [FRAMES] if getattr(image, "is_animated", False) and image.format != "MPO" else []
    if "16" in _raw_mode(image):
        remarks.append(DEEP)
    if image.mode.startswith("I;16"):
        pixels = _upper_bits(image, path, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    elif image.mode in _MODES:
        pixels = np.asarray(image.convert("RGB"), np.uint8)
    else:
        # Pillow would cut every value off at 255: a white image.
        raise InputError(
            f"image {path} has values that are no colours of 8 or 16 bits (mode {image.mode})",
            f"convert it to 8 bits, {_SKIP}",
        )
    # Now that the pixels are there: of TIFF Pillow has turned them, and forgets the tag.
    orientation = image.getexif().get(_ORIENTATION, 1)
    return Picture(pixels, orientation if orientation in range(1, 9) else 1, tuple(remarks))


def _raw_mode(image: Image.Image) -> str:
    """How the file stores a pixel, such as `RGB;16B`; Pillow's mode says only what it becomes."""
    tile: Any = next(iter(getattr(image, "tile", ())), None)
    arguments = () if tile is None else tile[3]
    first = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return str(first)


def _upper_bits(image: Image.Image, path: Path, white_is_zero: bool) -> NDArray[np.uint8]:
    """Grey of 16 bits as RGB of 8, by the upper bits, as Pillow reads colours of 16 bits."""
    import numpy as np

    grey = np.asarray(image).astype(np.uint16)
    peak = int(grey.max())
    if peak < _LEAST_PEAK:
        raise InputError(
            f"image {path} has 16 bits a pixel and no value above {peak} of 65535: 8 bits of it are nearly black",
            f"scale it to 8 bits as the training did, {_SKIP}",
        )
    upper = ((65535 - grey if white_is_zero else grey) >> 8).astype(np.uint8)
    return np.repeat(upper[..., None], 3, axis=2)
