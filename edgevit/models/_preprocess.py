"""A model's `Preprocess` and the `--preprocess KEY=VALUE` overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from edgevit.core.errors import UnsupportedError, UsageError, nearest
from edgevit.core.settings.recipe import PREPROCESS_KEYS
from edgevit.core.types import Preprocess
from edgevit.formats.preprocess_json import ORIENTS

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Color = Literal["rgb", "bgr", "gray", "bands"]
Orient = Literal["none", "exif"]

INTERPOLATIONS: Final = ("nearest", "bilinear", "bicubic", "lanczos")
COLORS: Final = ("rgb", "bgr")
_COLOURS: Final = 3
_LAST: Final = "border"
# Usual normalisations by name: mean and std in units of the range 0 to 1. Ranges are those of the input tensor.
NORMALIZATIONS: Final[Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0..255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}


def imagenet(size: tuple[int, int]) -> Preprocess:
    """ImageNet's mean and std and a bicubic resize without margin, for a model that says nothing itself."""
    return Preprocess(height=size[0], width=size[1], resize=size)


def from_timm(
    config: Mapping[str, Any], size: tuple[int, int] | None, given: Mapping[str, str] = MappingProxyType({})
) -> Preprocess:
    """Convert what `timm.data.resolve_model_data_config` gives.

    Args:
        config: keys input_size (C, H, W), interpolation, mean, std, crop_pct, crop_mode.
        size: (height, width) instead of the configuration's.
        given: by `--preprocess`.

    Raises:
        UnsupportedError: an interpolation that edgevit does not have.
        UsageError: a crop mode that timm does not have either, and `given` does not say how an image comes to that
            size.
    """
    _, height, width = config["input_size"]
    height, width = size or (height, width)
    mode = config["crop_mode"]
    if mode not in ("center", "squash", "border") and "resize" not in given:
        raise UsageError(
            f"the model's crop mode is {mode!r}, which edgevit does not have",
            f"say how images come to it: --preprocess resize={height}x{width} squeezes the whole image, "
            f"resize={min(height, width)} resizes the shorter side and crops",
        )
    if config["interpolation"] not in INTERPOLATIONS:
        raise UnsupportedError(
            f"the model's interpolation {config['interpolation']!r} is not supported",
            "name another one: --preprocess interpolation=bicubic",
        )
    return Preprocess(
        height=height,
        width=width,
        resize=_over(height, width, config["crop_pct"]),
        shorter_side=mode == "center",
        interpolation=config["interpolation"],
        color=color_of(len(config["mean"])),
        mean=tuple(float(value) for value in config["mean"]),
        std=tuple(float(value) for value in config["std"]),
        border=_bytes(config["mean"]) if mode == "border" else None,
    )


def for_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    """The same for images of so many channels; what mean and std were for another number becomes -1..1."""
    if preprocess.channels == channels:
        return preprocess
    halves = (0.5,) * channels
    border = None if preprocess.border is None else _bytes(halves)
    return replace(preprocess, color=color_of(channels), mean=halves, std=halves, border=border)


def _bytes(mean: Iterable[float]) -> tuple[int, ...]:
    """timm's border: what becomes 0 once it is normalised."""
    return tuple(min(max(round(255 * value), 0), 255) for value in mean)


def color_of(channels: int) -> Color:
    """What the channels of an image are called where nothing says more."""
    return "rgb" if channels == _COLOURS else "gray" if channels == 1 else "bands"


def normalization(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std of a usual normalisation; None where it differs by colour and there are not three."""
    mean, std = NORMALIZATIONS[name]
    if channels == _COLOURS:
        return mean, std
    if len(set(mean)) > 1:
        return None
    return mean[:1] * channels, std[:1] * channels


def triple(values: Any) -> tuple[float, float, float]:
    """Three floats from any sequence of three numbers."""
    first, second, third = values
    return float(first), float(second), float(third)


def override(preprocess: Preprocess, values: Mapping[str, str]) -> Preprocess:
    """Apply `--preprocess KEY=VALUE`.

    `resize=256` resizes the shorter side, `resize=256x320` both sides (height x width);
    `crop_pct=0.9` derives the resize from the input size; `mean` and `std` take one number or one for each channel;
    `normalize` sets both by name (see NORMALIZATIONS); `border=127` or `border=R,G,B` fits the whole image into the
    resize, one side of it standing for both, and surrounds it with that colour.

    Raises:
        UsageError: an unknown key, a malformed value, `resize` with `crop_pct`, or `normalize` with
            `mean` or `std`.
    """
    for key in values:
        if key not in PREPROCESS_KEYS:
            raise UsageError(f"unknown key {key!r} in --preprocess", nearest(key, PREPROCESS_KEYS))
    if "resize" in values and "crop_pct" in values:
        raise UsageError("--preprocess takes resize or crop_pct, not both", "crop_pct sets the resize")
    if "normalize" in values and {"mean", "std"} & set(values):
        raise UsageError(
            "--preprocess takes normalize, or mean and std, not both", "normalize sets mean and std"
        )
    for key in sorted(values, key=_LAST.__eq__):  # a resize alone has no border
        preprocess = _apply(preprocess, key, values[key])
    return preprocess


def _apply(preprocess: Preprocess, key: str, text: str) -> Preprocess:
    if key == "resize":
        sides = text.lower().split("x")
        if len(sides) > 2 or not all(
            side.isascii() and side.isdigit() and 0 < int(side) <= 65536 for side in sides
        ):
            raise _wrong(key, text, "a number of pixels (shorter side) or HEIGHTxWIDTH")
        size = (int(sides[0]), int(sides[-1]))
        return replace(preprocess, resize=size, shorter_side=len(sides) == 1, border=None)
    if key == "crop_pct":
        (fraction,) = _numbers(key, text, (1,))
        if not 0.05 <= fraction <= 1:
            raise _wrong(key, text, "a fraction from 0.05 to 1")
        return replace(preprocess, resize=_over(preprocess.height, preprocess.width, fraction))
    if key == "interpolation":
        if text not in INTERPOLATIONS:
            raise _wrong(key, text, "one of " + ", ".join(INTERPOLATIONS))
        return replace(preprocess, interpolation=cast("Interpolation", text))
    if key == "normalize":
        if text not in NORMALIZATIONS:
            raise _wrong(key, text, "one of " + ", ".join(NORMALIZATIONS))
        found = normalization(text, preprocess.channels)
        if found is None:
            raise _wrong(
                key, text, f"one for {_images(preprocess)}: -1..1, 0..1 or 0..255, or give mean and std"
            )
        return replace(preprocess, mean=found[0], std=found[1])
    if key == "color":
        if text not in COLORS:
            raise _wrong(key, text, "rgb or bgr")
        if preprocess.channels != _COLOURS:
            raise _wrong(key, text, f"left out: the model takes {_images(preprocess)}")
        return replace(preprocess, color=cast("Color", text))
    if key == "orient":
        if text not in ORIENTS:
            raise _wrong(key, text, "exif (turn images as their EXIF orientation says) or none")
        return replace(preprocess, orient=cast("Orient", text))
    channels = preprocess.channels
    if key == _LAST:
        whole = text.split(",")
        if len(whole) not in (1, channels) or not all(_is_byte(part) for part in whole):
            raise _wrong(key, text, f"one whole number from 0 to 255, or {channels} separated by commas")
        colour = tuple(map(int, whole * channels if len(whole) == 1 else whole))
        return replace(preprocess, shorter_side=False, border=colour)
    numbers = _numbers(key, text, tuple(dict.fromkeys((1, channels))))
    values = numbers * channels if len(numbers) == 1 else numbers
    if key == "mean":
        return replace(preprocess, mean=values)
    if min(values) <= 0:
        raise _wrong(key, text, "positive")
    return replace(preprocess, std=values)


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= 255


def _images(preprocess: Preprocess) -> str:
    return f"images of {preprocess.channels} channel{'s' if preprocess.channels > 1 else ''}"


def _over(height: int, width: int, fraction: float) -> tuple[int, int]:
    # Rounded down, as timm's evaluation pipeline does.
    return math.floor(height / fraction), math.floor(width / fraction)


def _numbers(key: str, text: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    wanted = (
        " or ".join(map(str, counts)) + " finite number(s) separated by commas, in units of the range 0 to 1"
    )
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise _wrong(key, text, wanted) from error
    if len(found) not in counts or not all(map(math.isfinite, found)):
        raise _wrong(key, text, wanted)
    return found


def _wrong(key: str, text: str, wanted: str) -> UsageError:
    return UsageError(f"--preprocess {key}={text}: the value must be {wanted}", "see edgevit convert --help")
