"""The settings of a Hugging Face image processor as a `Preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.types import Preprocess
from edgevit.models._channels import USUAL
from edgevit.models._preprocess import color_of

# Pillow's numbers for its filters, which is what `resample` holds.
_RESAMPLE: Final[Mapping[int, Literal["nearest", "bilinear", "bicubic", "lanczos"]]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}
# What `do_pad` of these does is to bring the images of a batch to the size of its largest: of one image it is nothing.
_PAD_A_BATCH: Final = (
    "Detr", "ConditionalDetr", "DeformableDetr", "GroundingDino", "RTDetr", "RfDetr", "Yolos"
)  # fmt: skip
# What resizes to more than `size` and crops to it, by how much.
_LEVIT: Final = 224 / 256


def from_processor(
    config: Mapping[str, Any],
    kind: str,
    model_size: tuple[int, int] | None,
    where: str,
    channels: int = USUAL,
) -> Preprocess:
    """Convert the settings of a processor, complete with the defaults of its class.

    Where an odd number of pixels is cropped away, transformers cuts the smaller half on the left and
    top, torchvision and edgevit round half to even: one pixel of difference.

    Args:
        config: by the names of the constructor's arguments.
        kind: the name of its class, which decides how it resizes.
        model_size: (height, width) of the model's input, else the configuration's own is taken.
        where: what messages call it.
        channels: of an image, where one number, or none, stands for all of them.

    Raises:
        InputError: sizes or statistics that make no sense.
        UnsupportedError: a step that edgevit does not have.
    """
    for step in ("do_pad", "do_thumbnail", "do_align_long_axis", "do_color_quantize"):
        if config.get(step) and not (step == "do_pad" and _pads_a_batch(kind, config)):
            raise UnsupportedError(f"the processor's step {step} is not supported", "resize and crop are")
    try:
        return _convert(config, model_size, kind, channels)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{where} is not understood: {brief(error)}",
            "mend it, or say it with --preprocess resize=N --preprocess mean=R,G,B --preprocess std=R,G,B",
        ) from error


def _pads_a_batch(kind: str, config: Mapping[str, Any]) -> bool:
    return kind.startswith(_PAD_A_BATCH) and not config.get("pad_size")


def _convert(
    config: Mapping[str, Any], model_size: tuple[int, int] | None, kind: str, channels: int
) -> Preprocess:
    square = bool(config.get("default_to_square", True))
    resize, shorter = sides(config["size"], square)
    multiple = _multiple(config)
    if multiple > 1:  # of DPT; Python's rounding is that of transformers
        resize = (round(resize[0] / multiple) * multiple, round(resize[1] / multiple) * multiple)
    shorter = shorter or bool(config.get("keep_aspect_ratio"))  # DPT's; it is cropped below to a fixed size
    crop: tuple[int, int] | None = None
    if config.get("do_center_crop"):
        crop = sides(config.get("crop_size") or resize[0], True)[0]
    if shorter and kind.startswith("ConvNext"):
        # Below 384 pixels: resize to size / crop_pct, crop to size; above, squash.
        crop = resize
        if (model_size or resize)[0] < 384:
            resize = _scaled(resize, float(config["crop_pct"]))
        else:
            shorter = False
    elif kind.startswith("PoolFormer") and config.get("crop_pct"):
        resize, shorter = _scaled(resize, float(config["crop_pct"])), True
    elif shorter and kind.startswith("Levit"):
        resize = _scaled(resize, _LEVIT)
    if crop is not None and (crop[0] > resize[0] or crop[1] > resize[1]):
        raise UnsupportedError(
            "the processor crops more than it resizes to, and pads the rest with black",
            "say how images come to the model: --preprocess resize=N resizes the shorter side and crops",
        )
    if not config.get("do_resize", True):
        raise UnsupportedError(
            "the processor does not resize images, so the input size is unknown",
            "give it: --image-size N or HxW",
        )
    if crop is None and shorter:
        crop = resize  # the aspect is kept and nothing says how to become a rectangle of fixed size
    height, width = model_size or crop or resize
    if model_size is not None:
        base = crop or resize
        resize = (resize[0] * height // base[0], resize[1] * width // base[1])
    mean, std = (0.0,) * channels, (1.0,) * channels
    if config.get("do_normalize", True):
        mean, std = (_floats(config[key], channels) for key in ("image_mean", "image_std"))
        if len(mean) != len(std):
            raise ValueError("image_mean and image_std differ in their length")
    # `value * rescale_factor`, normalised, is `(value / 255 - mean / k) / (std / k)` with k = 255 * factor.
    factor = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    if config.get("rescale_offset"):  # EfficientNet: minus 1 before the statistics
        mean = tuple(value + 1 for value in mean)
    if kind.startswith("EfficientNet") and config.get("include_top"):  # divided by std once more
        std = tuple(value * value for value in std)
    if factor <= 0 or min(std) <= 0 or min(height, width, *resize) <= 0:
        raise ValueError("sizes, image_std and rescale_factor must be positive")
    if abs(factor - 1) > 1e-6:
        mean = tuple(value / factor for value in mean)
        std = tuple(value / factor for value in std)
    return Preprocess(
        height=height,
        width=width,
        resize=resize,
        shorter_side=shorter,
        interpolation=_RESAMPLE[int(config["resample"])],
        color="bgr" if len(mean) == USUAL and config.get("do_flip_channel_order") else color_of(len(mean)),
        mean=mean,
        std=std,
    )


def _floats(values: Any, channels: int) -> tuple[float, ...]:
    """One for each channel; a single number stands for all."""
    given = values if isinstance(values, list | tuple) else (values,) * channels
    if not given:
        raise ValueError("no mean or std for any channel")
    return tuple(float(value) for value in given)


def varying(config: Mapping[str, Any]) -> str:
    """The settings by which each image gets a size of its own, which a file cannot have; "" without any."""
    size = config.get("size")
    longest = size.get("longest_edge") if isinstance(size, Mapping) else None
    found = [] if size else [f"size_divisor={config['size_divisor']}"] if config.get("size_divisor") else []
    if config.get("keep_aspect_ratio"):
        found.append("keep_aspect_ratio")
        if _multiple(config) > 1:
            found.append(f"ensure_multiple_of={_multiple(config)}")
    if longest:
        found.append(f"longest_edge={longest}")
    return ", ".join(found)


def _multiple(config: Mapping[str, Any]) -> int:
    given = config.get("ensure_multiple_of")
    return given if isinstance(given, int) and given > 0 else 1


def _scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    return int(size[0] / share), int(size[1] / share)


def sides(size: Any, square: bool) -> tuple[tuple[int, int], bool]:
    """(height, width), and whether it is the shorter side with the aspect kept, as one number may mean."""
    if isinstance(size, Mapping):
        if "height" in size and "width" in size:
            return (int(size["height"]), int(size["width"])), False
        return (int(size["shortest_edge"]), int(size["shortest_edge"])), True
    if isinstance(size, list | tuple):
        return (int(size[0]), int(size[1])), False
    return (int(size), int(size)), not square
