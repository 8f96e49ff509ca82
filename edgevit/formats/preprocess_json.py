"""`Preprocess` as the JSON text that every artifact carries under `edgevit.preprocess`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Final, Literal, NamedTuple, cast

from edgevit.core.disk.documents import parse_json
from edgevit.core.errors import InputError
from edgevit.core.types import Preprocess

Layout = Literal["NCHW", "NHWC", "image"]
_Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_Color = Literal["rgb", "bgr", "gray", "bands"]
_Orient = Literal["none", "exif"]

LAYOUTS = ("NCHW", "NHWC", "image")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
COLORS = ("rgb", "bgr", "gray", "bands")
ORIENTS = ("none", "exif")
MAX_CHANNELS: Final = 512
_COLOURS: Final = 3
_BYTE: Final = 255
_INPUT: Final = "input"  # of files that take bytes, with the word PIXELS
_PIXELS: Final = "pixels"
_KEYS = ("height", "width", "resize", "shorter_side", "interpolation", "color", "mean", "std", "layout")


class FileInput(NamedTuple):
    """What a file says of its input.

    Attributes:
        preprocess: from an image to what the model takes.
        layout: of the input tensor.
        takes_pixels: the input holds the bytes of the cropped image, and the file does the rest itself.
    """

    preprocess: Preprocess
    layout: Layout
    takes_pixels: bool


def dumps(preprocess: Preprocess, layout: str, takes_pixels: bool = False) -> str:
    """Write as one line of JSON; `layout` is the artifact's input: NCHW, NHWC or image.

    Raises:
        ValueError: an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    stated = {_INPUT: _PIXELS} if takes_pixels else {}
    return json.dumps({**asdict(preprocess), "layout": layout, **stated}, allow_nan=False)


def loads(text: str | bytes) -> FileInput:
    """Read what `dumps` wrote.

    Keys that this version does not know are ignored, so that newer files stay readable.

    Raises:
        InputError: not JSON, or a value is missing, of the wrong type or out of range.
    """
    data = parse_json(text, "the preprocessing metadata", finite=False)
    if not isinstance(data, dict):
        raise _bad("it", data, "an object")
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise InputError(
            f"the preprocessing metadata lacks {', '.join(missing)}",
            "convert the model again, or add them to the file's metadata",
        )
    shorter_side = data["shorter_side"]
    if not isinstance(shorter_side, bool):
        raise _bad("shorter_side", shorter_side, "true or false")
    resize = _list("resize", data["resize"], 2)
    mean, std = _numbers("mean", data["mean"]), _numbers("std", data["std"])
    if min(std) <= 0:
        raise _bad("std", data["std"], "positive numbers")
    if len(mean) != len(std):
        raise _bad("std", data["std"], f"as many numbers as mean has, which are {len(mean)}")
    color = cast("_Color", _word("color", data["color"], COLORS))
    if (color in ("rgb", "bgr")) != (len(mean) == _COLOURS) or (color == "gray") != (len(mean) == 1):
        raise _bad("color", color, f"one for {len(mean)} channels")
    preprocess = Preprocess(
        height=_pixels("height", data["height"]),
        width=_pixels("width", data["width"]),
        resize=(_pixels("resize", resize[0]), _pixels("resize", resize[1])),
        shorter_side=shorter_side,
        interpolation=cast("_Interpolation", _word("interpolation", data["interpolation"], INTERPOLATIONS)),
        color=color,
        mean=mean,
        std=std,
        # files that were written before there was this key took the pixels as they are stored
        orient=cast("_Orient", _word("orient", data.get("orient", "none"), ORIENTS)),
        border=_border(data.get("border"), len(mean), shorter_side),
    )
    layout = cast("Layout", _word("layout", data["layout"], LAYOUTS))
    takes_pixels = _INPUT in data and _word(_INPUT, data[_INPUT], (_PIXELS,)) == _PIXELS
    return FileInput(preprocess, layout, takes_pixels)


def _bad(key: str, value: object, wanted: str) -> InputError:
    return InputError(
        f"preprocessing metadata: {key} must be {wanted}, not {str(value)[:80]!r}",
        "convert the model again, or mend that entry of the file's metadata",
    )


def _word(key: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise _bad(key, value, "one of " + ", ".join(allowed))
    return value


def _border(value: object, channels: int, shorter_side: bool) -> tuple[int, ...] | None:
    """The bytes of a colour, one for each channel; files without a border, or from before there was one, have none."""
    if value is None:
        return None
    if shorter_side:
        raise _bad("border", value, "null where the shorter side is resized")
    found = tuple(
        item for item in _list("border", value, channels) if isinstance(item, int) and item is not True
    )
    if len(found) != channels or not all(0 <= item <= _BYTE for item in found):
        raise _bad("border", value, f"{channels} whole numbers from 0 to {_BYTE}")
    return found


def _pixels(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65536:
        raise _bad(key, value, "a whole number of pixels from 1 to 65536")
    return value


def _list(key: str, value: object, length: int) -> list[object]:
    if not isinstance(value, list) or len(value) != length:
        raise _bad(key, value, f"a list of {length} numbers")
    return cast("list[object]", value)


def _numbers(key: str, value: object) -> tuple[float, ...]:
    """One for each channel."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHANNELS:
        raise _bad(key, value, f"a list of 1 to {MAX_CHANNELS} numbers")
    found = []
    for item in value:
        if not isinstance(item, int | float) or isinstance(item, bool) or not math.isfinite(item):
            raise _bad(key, value, "finite numbers")
        found.append(float(item))
    return tuple(found)
