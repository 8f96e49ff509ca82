"""The preprocessing that a training was given, from the arguments that timm's train.py keeps in its checkpoints.

`train.py --mean 0.5 0.5 0.5 --img-size 192` trains and evaluates with other values than the architecture's own. They
stand in `args` of model_best.pth.tar, None where the flag was not given, and `timm.data.resolve_data_config` takes them
first:
https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/config.py
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from edgevit.core.errors import InputError
from edgevit.models._channels import USUAL
from edgevit.models._checkpoint.choose import Chosen

_SIZES: Final = ("input_size", "img_size")
_OTHERS: Final = ("mean", "std", "interpolation", "crop_pct")
_CHANNELS: Final = "in_chans"  # for how many of them one number of mean and std stands
_MOST: Final = 65536


def trained_with(chosen: Chosen | None, fixed_size: bool) -> dict[str, Any]:
    """The arguments of `timm.data.resolve_data_config` that a checkpoint of train.py brings; empty for other files.

    Args:
        fixed_size: the size of the images is the architecture's, so that weights for another one do not fit anyway.

    Raises:
        InputError: one of them is no value that train.py takes.
    """
    if chosen is None or not chosen.architecture:
        return {}
    names = (_CHANNELS, *_OTHERS, *(() if fixed_size else _SIZES))
    given = {name: chosen.arguments[name] for name in names if chosen.arguments.get(name) is not None}
    for name, value in given.items():
        if not _fits(name, value, given.get(_CHANNELS, USUAL)):
            raise InputError(
                f"args.{name} in {chosen.path} is {str(value)[:60]!r}, which timm's train.py does not take",
                "give --preprocess and a file with the weights alone",
            )
    if given.get("interpolation") in ("", "random"):  # of training: evaluation then takes the architecture's
        del given["interpolation"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def describe(chosen: Chosen | None, trained: Mapping[str, object]) -> str:
    """What the report says of them: `, except mean, std (args of model_best.pth.tar)`; "" without any."""
    if chosen is None or not trained:
        return ""
    named = [name for name in trained if name != _CHANNELS]
    return f", except {', '.join(named)} (args in {chosen.path.name})" if named else ""


def _fits(name: str, value: object, channels: object) -> bool:
    """Whether `timm.data.resolve_data_config` takes it for images of so many channels."""
    if name == "interpolation":
        return isinstance(value, str)
    if name == "crop_pct":
        return _number(value) and value > 0
    if name in (_CHANNELS, "img_size"):
        return _pixels(value)
    if not isinstance(value, list | tuple):
        return False
    if name == "input_size":
        return len(value) == 3 and all(map(_pixels, value))
    fits = len(value) in (1, channels) and all(map(_number, value))
    return fits and (name != "std" or all(entry > 0 for entry in value))


def _pixels(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
