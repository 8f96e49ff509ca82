"""From pixels to the numbers a model takes: the one arithmetic of the reference and of every runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats, Pixels, Preprocess


def normalise(pixels: Pixels, preprocess: Preprocess, layout: Literal["NCHW", "NHWC"] = "NCHW") -> Floats:
    """Order the channels and normalise: `(value / 255 - mean) / std`, in float32 as torchvision computes it.

    Args:
        pixels: uint8 (N, height, width, channels), RGB where there are three.

    Returns:
        float32 (N, channels, height, width), or (N, height, width, channels) for NHWC; contiguous, channels in
        `preprocess.color` order.
    """
    import numpy as np

    values = ordered(pixels, preprocess, layout).astype(np.float32)
    shape = (-1, 1, 1) if layout == "NCHW" else (-1,)
    values /= np.float32(255)
    values -= np.asarray(preprocess.mean, np.float32).reshape(shape)
    values /= np.asarray(preprocess.std, np.float32).reshape(shape)
    return values


def ordered(pixels: Pixels, preprocess: Preprocess, layout: Literal["NCHW", "NHWC"] = "NCHW") -> Pixels:
    """The same pixels, uint8, with the axes and the channels in the order that the model takes; contiguous."""
    import numpy as np

    channels = pixels[..., ::-1] if preprocess.color == "bgr" else pixels
    return np.ascontiguousarray(np.moveaxis(channels, -1, 1) if layout == "NCHW" else channels)


def as_int8(pixels: Pixels) -> NDArray[np.int8]:
    """Bytes as int8 holds them: 0 to 255 become -128 to 127."""
    import numpy as np

    return (pixels ^ np.uint8(128)).view(np.int8)


def in_rgb(preprocess: Preprocess) -> Preprocess:
    """The same, told for channels in RGB order."""
    if preprocess.color != "bgr":
        return preprocess
    return replace(preprocess, color="rgb", mean=preprocess.mean[::-1], std=preprocess.std[::-1])
