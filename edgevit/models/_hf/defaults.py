"""What a processor file leaves out, and the usual values of a family where there is no such file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgevit.core.require import require

# Settings of an image processor. A step that is None in its class is off.
_KEYS: Final = (
    *("do_resize", "size", "default_to_square", "resample", "do_center_crop", "crop_size", "crop_pct"),
    *("do_rescale", "rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std"),
    *("include_top", "do_flip_channel_order", "do_pad", "do_thumbnail", "do_align_long_axis"),
    *("do_color_quantize", "keep_aspect_ratio", "ensure_multiple_of", "size_divisor"),
)
_IMAGENET: Final[Mapping[str, object]] = {
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
_CROPPED: Final[Mapping[str, object]] = {
    **_IMAGENET,
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
}
_CONVNEXT: Final[Mapping[str, object]] = {**_IMAGENET, "size": {"shortest_edge": 224}}
_MOBILEVIT: Final[Mapping[str, object]] = {
    "size": {"shortest_edge": 288},
    "crop_size": {"height": 256, "width": 256},
    "resample": 2,
}
# Families whose checkpoints agree: the values in their publishers' processor files, where these differ from
# the class that transformers uses for them. Many share the class of another family: Swin has that of ViT,
# whose mean is 0.5, and was trained with ImageNet's. A family that is not here is asked for.
FAMILIES: Final[Mapping[str, Mapping[str, object]]] = {
    "vit": {},
    "beit": {"resample": 2},
    "data2vec-vision": {"resample": 2},
    "deit": _IMAGENET,
    "swin": {**_IMAGENET, "resample": 3},
    "swinv2": {**_IMAGENET, "resample": 3},
    "convnext": _CONVNEXT,
    "convnextv2": _CONVNEXT,
    "cvt": _CONVNEXT,
    "resnet": _CONVNEXT,
    "regnet": _CONVNEXT,
    "dinov2": _CROPPED,
    "dinov3_vit": {},
    "focalnet": _CROPPED,
    "hiera": _CROPPED,
    "levit": {},
    "poolformer": {},
    "pvt": {},
    "pvt_v2": {},
    "segformer": {},
    "mobilevit": _MOBILEVIT,
    "mobilevitv2": _MOBILEVIT,
    "mobilenet_v1": {},
    "mobilenet_v2": {},
    "efficientnet": {
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.47853944, 0.4732864, 0.47434163),  # divided by twice, which is ImageNet's
        "size": {"height": 224, "width": 224},
    },
    "clip": {},
    "siglip": {},
}
# Their position embeddings adapt in every forward pass: `image_size` is that of pretraining.
_ANY_SIZE: Final = frozenset({"dinov2", "dinov3_vit"})


def of_class(name: str) -> Mapping[str, Any]:
    """The defaults of transformers' class of that name (older names too); empty if it has none."""
    base = name.removesuffix("Pil").removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    if not base.endswith("ImageProcessor"):
        return {}
    transformers = require("transformers")
    return _first(getattr(transformers, text, None) for text in (base, f"{base}Fast"))


def of_type(model_type: str) -> tuple[str, Mapping[str, object]]:
    """The class that transformers takes for a `model_type`, and its defaults; both empty if it has none."""
    names = require("transformers.models.auto.image_processing_auto").IMAGE_PROCESSOR_MAPPING_NAMES
    entry = names.get(model_type)
    given = entry.values() if isinstance(entry, Mapping) else entry or ()
    for name in (given,) if isinstance(given, str) else given:
        if name and (found := of_class(name)):
            return name.removesuffix("Pil").removesuffix("Fast"), found
    return "", {}


def of_family(model_type: str) -> tuple[str, Mapping[str, object]] | None:
    """The class and the usual values of a family, complete; None where its checkpoints do not agree."""
    family = model_type.removesuffix("_vision_model")
    if family not in FAMILIES:
        return None
    name, found = of_type(family)
    return (name, {**found, **FAMILIES[family]}) if found else None


def has_own_size(model_type: str) -> bool:
    """Whether `image_size` in the configuration is what the model must be given."""
    return model_type not in _ANY_SIZE


def _first(classes: Iterator[object]) -> Mapping[str, object]:
    for kind in classes:
        if not isinstance(kind, type) or getattr(kind, "is_dummy", False):
            continue
        signature = inspect.signature(kind).parameters
        found = {key: _setting(kind, signature, key) for key in _KEYS}
        if found["image_mean"] is not None:
            steps = {key: bool(value) for key, value in found.items() if key.startswith("do_")}
            return {**{key: value for key, value in found.items() if value is not None}, **steps}
    return {}


def _setting(kind: type, signature: Mapping[str, inspect.Parameter], key: str) -> Any:
    value = getattr(kind, key, None)
    if value is None and key in signature and signature[key].default is not inspect.Parameter.empty:
        return signature[key].default
    return value
