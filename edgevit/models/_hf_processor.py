"""Hugging Face's `preprocessor_config.json` as a `Preprocess`, read as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.types import Preprocess
from edgevit.models._preprocess import triple

# Pillow's numbers for its filters, which is what `resample` holds.
_RESAMPLE: Final[Mapping[int, Literal["nearest", "bilinear", "bicubic", "lanczos"]]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}
# Where the file leaves something out, the class of the processor has defaults of its own; these are the
# documented ones of https://huggingface.co/docs/transformers (constructor arguments of each class).
_STANDARD: Final[Mapping[str, Any]] = {"resample": 2, "image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
_IMAGENET: Final[Mapping[str, Any]] = {
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "MobileViT": {"do_normalize": False, "do_flip_channel_order": True, "do_center_crop": True},
    "BitImageProcessor": {"resample": 3, "do_center_crop": True},
    "DeiT": {**_IMAGENET, "resample": 3, "do_center_crop": True},
    "ConvNext": {**_IMAGENET, "crop_pct": 224 / 256},
    "Pvt": _IMAGENET,
    "Levit": {**_IMAGENET, "resample": 3, "do_center_crop": True},
    "PoolFormer": {**_IMAGENET, "resample": 3, "do_center_crop": True},
}


def from_processor(config: Mapping[str, Any], model_size: tuple[int, int] | None) -> Preprocess:
    """Convert a processor configuration.

    Where an odd number of pixels is cropped away, transformers cuts the smaller half on the left and
    top, torchvision and edgevit round half to even: one pixel of difference.

    Args:
        config: the JSON object.
        model_size: (height, width) that the user asked for, else the configuration's own is taken.

    Raises:
        InputError: sizes or statistics that make no sense.
        UnsupportedError: a step that edgevit does not have.
    """
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    defaults = next((found for start, found in _DEFAULTS.items() if kind.startswith(start)), {})
    given = {key: value for key, value in config.items() if value is not None}
    merged: dict[str, Any] = {**_STANDARD, **defaults, **given}
    for step in ("do_pad", "do_thumbnail", "do_align_long_axis"):
        if merged.get(step):
            raise UnsupportedError(f"the processor's step {step} is not supported", "resize and crop are")
    try:
        return _convert(merged, model_size, kind)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"preprocessor_config.json is not understood: {type(error).__name__}: {error}"
        ) from error


def _convert(config: Mapping[str, Any], model_size: tuple[int, int] | None, kind: str) -> Preprocess:
    resize, shorter = _sides(config.get("size", 224))
    crop: tuple[int, int] | None = None
    if config.get("do_center_crop"):
        crop = _sides(config.get("crop_size", resize[0]))[0]
    elif shorter and kind.startswith("ConvNext"):
        # ConvNeXt below 384 pixels: resize to size / crop_pct, crop to size; above, squash.
        crop = resize
        if resize[0] < 384:
            resize = (int(resize[0] / config["crop_pct"]), int(resize[0] / config["crop_pct"]))
        else:
            shorter = False
    if not config.get("do_resize", True):
        raise UnsupportedError(
            "the processor does not resize images, so the input size is unknown", "--image-size"
        )
    if crop is None and shorter:
        crop = resize  # the aspect is kept and nothing says how to become a rectangle of fixed size
    height, width = model_size or crop or resize
    if model_size is not None:
        base = crop or resize
        resize = (resize[0] * height // base[0], resize[1] * width // base[1])
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if config.get("do_normalize", True):
        mean, std = triple(config["image_mean"]), triple(config["image_std"])
    # `value * rescale_factor`, normalised, is `(value / 255 - mean / k) / (std / k)` with k = 255 * factor.
    factor = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    if factor <= 0 or min(std) <= 0 or min(height, width, *resize) <= 0:
        raise ValueError("sizes, image_std and rescale_factor must be positive")
    if abs(factor - 1) > 1e-6:
        mean = triple([value / factor for value in mean])
        std = triple([value / factor for value in std])
    return Preprocess(
        height=height,
        width=width,
        resize=resize,
        shorter_side=shorter,
        interpolation=_RESAMPLE[int(config["resample"])],
        color="bgr" if config.get("do_flip_channel_order") else "rgb",
        mean=mean,
        std=std,
    )


def _sides(size: Any) -> tuple[tuple[int, int], bool]:
    """(height, width), and whether it is the shorter side with the aspect kept."""
    if isinstance(size, Mapping):
        if "height" in size and "width" in size:
            return (int(size["height"]), int(size["width"])), False
        return (int(size["shortest_edge"]), int(size["shortest_edge"])), True
    if isinstance(size, list | tuple):
        return (int(size[0]), int(size[1])), False
    return (int(size), int(size)), False
