"""From pixels to the numbers a model takes, by a model's preprocessing; the arithmetic is the agent's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from edgevit.agent import feed as _feed
from edgevit.agent.feed import Feed

if TYPE_CHECKING:
    from edgevit.core.types import Floats, Pixels, Preprocess


def feed_of(
    preprocess: Preprocess,
    layout: Literal["NCHW", "NHWC", "image"],
    dtype: str = "float32",
    takes_pixels: bool = False,
    batch: int = 1,
) -> Feed:
    """How images become the input of a file that was made for `preprocess`."""
    return Feed(
        layout, preprocess.color == "bgr", preprocess.mean, preprocess.std, dtype, takes_pixels, batch=batch
    )


def normalise(pixels: Pixels, preprocess: Preprocess, layout: Literal["NCHW", "NHWC"] = "NCHW") -> Floats:
    """Order the channels and normalise: `(value / 255 - mean) / std`, in float32 as torchvision computes it.

    Args:
        pixels: uint8 (N, height, width, channels), RGB where there are three.

    Returns:
        float32 (N, channels, height, width), or (N, height, width, channels) for NHWC; contiguous, channels in
        `preprocess.color` order.
    """
    return _feed.normalise(pixels, feed_of(preprocess, layout))


def in_rgb(preprocess: Preprocess) -> Preprocess:
    """The same, told for channels in RGB order."""
    if preprocess.color != "bgr":
        return preprocess
    return replace(preprocess, color="rgb", mean=preprocess.mean[::-1], std=preprocess.std[::-1])
