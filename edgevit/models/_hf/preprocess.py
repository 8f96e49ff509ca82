"""Every place where a Hugging Face folder keeps preprocessing, in the order in which transformers looks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UsageError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest
from edgevit.core.require import require
from edgevit.models._channels import USUAL
from edgevit.models._hf.defaults import has_own_size, of_class, of_family, of_type
from edgevit.models._hf.processor import from_processor, sides, varying
from edgevit.models._origin import Stated, for_images, not_stated
from edgevit.models._preprocess import for_channels, from_timm, imagenet

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Of transformers 5: one file for all processors of a model, with that for images nested in it.
PROCESSOR: Final = "processor_config.json"
_FILES: Final = (PROCESSOR, "preprocessor_config.json")
_SETTINGS: Final = (
    *("image_mean", "image_std", "do_normalize", "rescale_factor", "do_rescale"),
    *("size", "do_resize", "resample", "crop_size", "crop_pct", "do_center_crop"),
)
_DEFAULT_SIZE: Final = (224, 224)


def preprocess_of(
    config: PretrainedConfig, read: Callable[[str], Mapping[str, Any]], request: LoadRequest
) -> Stated:
    """From the processor's file, else `pretrained_cfg` in config.json, else the usual values of the family.

    Args:
        config: a configuration object of transformers.
        read: the JSON object in a file of the folder, empty if there is no such file.

    Raises:
        UsageError: none of them says how images are normalised, and neither does `--preprocess`.
        InputError, UnsupportedError: what they say is malformed, or nothing that edgevit does.
    """
    found, origin = _stated(config, read, request)
    # Whatever the processor, transformers' load_image and the Image feature of datasets turn images upright.
    return (found if "orient" in request.preprocess else replace(found, orient="exif")), origin


def _stated(
    config: PretrainedConfig, read: Callable[[str], Mapping[str, Any]], request: LoadRequest
) -> Stated:
    name, found = _processor(read)
    kind = str(found.get("image_processor_type") or found.get("feature_extractor_type") or "")
    wrapped = found.get("data_config") or found.get("pretrained_cfg")
    if isinstance(wrapped, Mapping):
        return _timm(wrapped, name, config, request)
    if found and kind != "TimmWrapperImageProcessor":
        return _file(name, kind, found, config, request)
    own = getattr(config, "pretrained_cfg", None)
    if isinstance(own, Mapping) and own:
        return _timm(own, "pretrained_cfg in config.json", config, request)
    return _family(config, request)


def _processor(read: Callable[[str], Mapping[str, object]]) -> tuple[str, Mapping[str, object]]:
    """Where the settings stand, and they; another file of the folder that contradicts them is named."""
    places: list[tuple[str, Mapping[str, object]]] = []
    for name in _FILES:
        found = read(name)
        if isinstance(nested := found.get("image_processor"), Mapping):
            places.append((f"image_processor in {name}", nested))
        elif found and name != PROCESSOR:
            places.append((name, found))
    if not places:
        return "", {}
    (where, settings), *others = places
    for other, theirs in others:
        differ = [
            key for key in _SETTINGS if key in settings and key in theirs and settings[key] != theirs[key]
        ]
        if differ:
            where = f"{where}; {other} has another {' and '.join(differ)}, which transformers does not read"
    return where, settings


def _file(
    name: str, kind: str, found: Mapping[str, Any], config: PretrainedConfig, request: LoadRequest
) -> Stated:
    used, defaults = kind, of_class(kind)
    if not defaults:
        used, defaults = of_type(str(config.model_type))
    given = {key: value for key, value in found.items() if value is not None}
    missing = [key for key in ("image_mean", "image_std") if key not in given]
    if not given.get("do_normalize", defaults.get("do_normalize", not defaults)):
        missing = []
    lacking = f"{name} has no {' and '.join(missing)}"
    if missing and not defaults:
        why = f"{lacking}, and transformers has no {kind or f'image processor for {config.model_type}'}"
        return _asked(request, config, _size(config, request), why)
    origin = f"{name}, with {' and '.join(missing)} of transformers' {used}" if missing else name
    channels = _channels(config)
    settings = _of_one_size({**defaults, **given}, name, config, request)
    preprocess = from_processor(settings, used, request.image_size, name, channels)
    return for_images(preprocess, origin, channels, request)


def _of_one_size(
    settings: Mapping[str, Any], name: str, config: PretrainedConfig, request: LoadRequest
) -> Mapping[str, object]:
    """With the size that a file has for all images, where the processor gives each image its own.

    Raises:
        UsageError: `--preprocess` does not say how images come to that size, although the weights may be trained.
    """
    own = None
    with contextlib.suppress(ArithmeticError, LookupError, TypeError, ValueError):  # told by `from_processor`
        own = sides(settings["size"], True)[0]
    why = varying(settings)
    if not why:
        return settings
    size = request.image_size or own or _size(config, request)
    said = bool({"resize", "crop_pct"} & set(request.preprocess))
    if request.needs_preprocess and request.random_weights is None and not (said and size):
        both = "HEIGHTxWIDTH" if size is None else f"{size[0]}x{size[1]}"
        shorter = "N" if size is None else str(min(size))
        raise UsageError(
            f"the processor of {request.source} gives each image a size of its own ({why} in {name}), a file has one",
            f"{'' if size else f'add --image-size {both}, and '}say how images come to it: --preprocess resize={both} "
            f"squeezes the whole image, resize={shorter} resizes the shorter side and crops",
        )
    height, width = size or _DEFAULT_SIZE
    return settings if own else {**settings, "size": {"height": height, "width": width}}


def _timm(own: Mapping[str, Any], where: str, config: PretrainedConfig, request: LoadRequest) -> Stated:
    absent = [key for key in ("mean", "std") if not own.get(key)]
    if absent:
        return _asked(request, config, request.image_size, f"{where} has no {' and '.join(absent)}")
    resolve = require("timm.data").resolve_data_config
    try:
        found = from_timm(
            resolve({}, pretrained_cfg=dict(own), verbose=False), request.image_size, request.preprocess
        )
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{where} is not understood: {type(error).__name__}: {brief(error)}",
            "mend it, or say it with --preprocess resize=N --preprocess mean=R,G,B --preprocess std=R,G,B",
        ) from error
    return for_images(found, where, _channels(config), request)


def _family(config: PretrainedConfig, request: LoadRequest) -> Stated:
    kind = str(config.model_type)
    family = None if request.random_weights is not None else of_family(kind)
    if family is None:
        why = f"there is no {' or '.join(_FILES)}, and checkpoints of {kind} do not agree"
        return _asked(request, config, _size(config, request), why)
    name, values = family
    size = _size(config, request) if request.image_size or has_own_size(kind) else None
    origin = f"the usual values of {kind} models ({name}), since there is no {' or '.join(_FILES)}"
    return for_images(from_processor(values, name, size, name), origin, _channels(config), request)


def _asked(request: LoadRequest, config: PretrainedConfig, size: tuple[int, int] | None, why: str) -> Stated:
    known = size or _DEFAULT_SIZE
    return not_stated(request, known, why, for_channels(imagenet(known), _channels(config)))


def _channels(config: PretrainedConfig) -> int:
    """Of the model's images; a model of timm has its number among the arguments that create it."""
    arguments = getattr(config, "model_args", None)
    if isinstance(arguments, Mapping) and isinstance(found := arguments.get("in_chans"), int):
        return found
    return next(
        (n for part in _parts(config) if isinstance(n := getattr(part, "num_channels", None), int)), USUAL
    )


def _size(config: PretrainedConfig, request: LoadRequest) -> tuple[int, int] | None:
    if request.image_size is not None:
        return request.image_size
    side = next((size for part in _parts(config) if (size := getattr(part, "image_size", None))), None)
    if isinstance(side, int):
        return (side, side)
    return (int(side[0]), int(side[1])) if isinstance(side, list | tuple) and len(side) == 2 else None


def _parts(config: PretrainedConfig) -> tuple[PretrainedConfig, ...]:
    """The model itself, the image tower of a pair, the backbone below a head."""
    return config, getattr(config, "vision_config", None), getattr(config, "backbone_config", None)
