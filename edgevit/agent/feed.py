"""From pixels to the numbers a file takes: the one arithmetic of the reference, of every runtime and of devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Feed:
    """How an image becomes the input of a file.

    Attributes:
        layout: NCHW or NHWC; `image` of a Core ML file that takes an image.
        bgr: the model's channels are in the order blue, green, red.
        mean, std: per channel in the model's order, in units of the [0, 1] range.
        dtype: of the input: float32, float16, uint8, int8 or int16.
        takes_pixels: the input holds the bytes of the image, and the file does the rest itself.
        scale, zero_point: of integers that hold real numbers, real = scale * (stored - zero_point).
        batch: how many images the input holds.
    """

    layout: str
    bgr: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str = "float32"
    takes_pixels: bool = False
    scale: float = 1.0
    zero_point: int = 0
    batch: int = 1


def tensor(pixels: Pixels, feed: Feed) -> NDArray[np.generic]:
    """The input for some images; the last one is repeated where the file takes more.

    Args:
        pixels: uint8 (N, height, width, channels), RGB where there are three.

    Returns:
        (batch, channels, height, width) or (batch, height, width, channels) of `feed.dtype`, contiguous.
    """
    import numpy as np

    missing = feed.batch - len(pixels)
    if missing > 0:
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
    if feed.takes_pixels:
        ready = ordered(pixels, feed.bgr, feed.layout)
        return as_int8(ready) if feed.dtype == "int8" else ready
    values = normalise(pixels, feed)
    if feed.dtype in ("float32", "float16"):
        return values.astype(feed.dtype, copy=False)
    limits = np.iinfo(feed.dtype)
    steps = np.rint(values / np.float32(feed.scale)) + feed.zero_point
    return np.asarray(steps.clip(limits.min, limits.max), feed.dtype)


def normalise(pixels: Pixels, feed: Feed) -> Floats:
    """Order the channels and normalise: `(value / 255 - mean) / std`, in float32 as torchvision computes it.

    Args:
        pixels: uint8 (N, height, width, channels), RGB where there are three.

    Returns:
        float32 in the layout and with the channels of `feed`; contiguous.
    """
    import numpy as np

    values = ordered(pixels, feed.bgr, feed.layout).astype(np.float32)
    shape = (-1, 1, 1) if feed.layout == "NCHW" else (-1,)
    values /= np.float32(255)
    values -= np.asarray(feed.mean, np.float32).reshape(shape)
    values /= np.asarray(feed.std, np.float32).reshape(shape)
    return values


def ordered(pixels: Pixels, bgr: bool, layout: str) -> Pixels:
    """The same pixels, uint8, with the axes and the channels in the order that the model takes; contiguous."""
    import numpy as np

    channels = pixels[..., ::-1] if bgr else pixels
    return np.ascontiguousarray(np.moveaxis(channels, -1, 1) if layout == "NCHW" else channels)


def as_int8(pixels: Pixels) -> NDArray[np.int8]:
    """Bytes as int8 holds them: 0 to 255 become -128 to 127."""
    import numpy as np

    return (pixels ^ np.uint8(128)).view(np.int8)
