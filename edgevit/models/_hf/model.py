"""Which class of transformers a configuration stands for, and its output as named tensors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.require import require

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


_WAY_OUT: Final = (
    "write a factory that loads it and gives a module from an image to the tensors that you need, and pass that as "
    "python:FILE:FACTORY"
)
# The auto classes of transformers whose models give tensors of a fixed shape for an image, with nothing to decode.
_CLASSIFIERS: Final = "AutoModelForImageClassification"
_SEGMENTERS: Final = "AutoModelForSemanticSegmentation"
_WITHOUT_CLASSES: Final = (
    "AutoModelForDepthEstimation",
    "AutoModelForNormalEstimation",
    "AutoModelForImageToImage",
    "AutoBackbone",
    "AutoModel",
)
_TOWERS: Final = "AutoModelForZeroShotImageClassification"  # an image and a text tower, such as CLIPModel
_PROJECTED: Final = (
    "VisionModelWithProjection"  # an image tower of its own; transformers has no auto class for it
)
_OTHER_FRAMEWORKS: Final = ("TF", "Flax")  # older folders name the class of the framework that saved them


def architecture(config: PretrainedConfig, classifier: bool) -> type[PreTrainedModel]:
    """The class that config.json names under `architectures`.

    It is taken if its output for an image is tensors of a fixed shape: an image classifier, a semantic segmenter,
    a model of depth, of normals or from image to image, a backbone, the model without a head, an image tower with
    its projection, or a pair of an image and a text tower, of which the image's is used. Where nothing is named,
    it is the image classifier of that configuration, or else the model without a head.

    Args:
        config: a configuration object of transformers.
        classifier: a number of classes was asked for (`--num-classes`), so that it must have some.

    Raises:
        UnsupportedError: another class, whose name is told, or nothing with classes where these are needed.
    """
    named = tuple(_plain_name(name) for name in getattr(config, "architectures", None) or ())
    heads: tuple[type[PreTrainedModel], ...] = _classes(_CLASSIFIERS, config)
    segmenters = _classes(_SEGMENTERS, config)
    others = tuple(kind for auto in _WITHOUT_CLASSES for kind in _classes(auto, config))
    known: tuple[type[PreTrainedModel], ...] = (
        heads + segmenters + (() if classifier else (*others, *_towers(config), *_projected(named, config)))
    )
    fitting = [kind for kind in known if kind.__name__ in named]
    if fitting:
        return fitting[0]
    if classifier:
        if not heads:
            message = f"transformers has no image classifier for {config.model_type!r}"
            raise UnsupportedError(message, "leave out --num-classes" if others else _WAY_OUT)
        return heads[0]
    if named:
        raise UnsupportedError(
            f"config.json names {named[0]}, whose output is more than tensors of a fixed shape, or not for an "
            "image alone",
            f"taken are image classification, semantic segmentation, depth, image embeddings and backbones; {_WAY_OUT}",
        )
    if not known:
        raise UnsupportedError(f"transformers has no image model for {config.model_type!r}", _WAY_OUT)
    return known[0]


def is_classifier(kind: type[PreTrainedModel]) -> bool:
    """Whether a class of transformers gives one row of logits for an image."""
    return "ForImageClassification" in kind.__name__


def has_classes(kind: type[PreTrainedModel]) -> bool:
    """Whether its head has as many outputs as there are classes: for the image, or for each of its pixels."""
    return is_classifier(kind) or kind.__name__.endswith("ForSemanticSegmentation")


def create(kind: type[PreTrainedModel], config: PretrainedConfig) -> torch.nn.Module:
    """The model with fresh weights, attention through scaled_dot_product_attention where it can.

    Raises:
        InputError: the values of the configuration don't go together.
        UnsupportedError: it takes something else than images.
    """
    check_takes_images(kind)
    try:
        module: torch.nn.Module = kind._from_config(
            config, attn_implementation="sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"
        )
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"transformers cannot build the model of config.json: {brief(error)}",
            "check config.json; transformers itself must load it: AutoModel.from_pretrained(FOLDER)",
        ) from error
    return module


def check_takes_images(kind: type[PreTrainedModel]) -> None:
    """Refuse a class of transformers that does not take an image alone.

    Raises:
        UnsupportedError: it takes texts, patches that were cut before, or something beside the image.
    """
    if getattr(kind, "main_input_name", "pixel_values") != "pixel_values" and not _is_pair(kind):
        raise UnsupportedError(f"{kind.__name__} takes {kind.main_input_name}, not images", _WAY_OUT)
    if _takes_patches(kind):
        raise UnsupportedError(
            f"{kind.__name__} takes patches of images of any shape and their places (spatial_shapes), not one image",
            "take a checkpoint of fixed resolution, such as google/siglip2-base-patch16-224 for SigLIP 2, whose "
            f"model_type is siglip; or {_WAY_OUT}",
        )
    if others := _other_inputs(kind):
        raise UnsupportedError(f"{kind.__name__} takes {', '.join(others)} beside the image", _WAY_OUT)


def images_alone(module: torch.nn.Module) -> torch.nn.Module:
    """A pair of towers without what only texts go through; any other model as it is."""
    if _is_pair(type(module)):
        for name in [name for name, _ in module.named_children() if name.startswith("text_")]:
            delattr(module, name)
    return module


def tensors(inner: torch.nn.Module, keys: tuple[str, ...] = ()) -> torch.nn.Module:
    """Wrap `inner` to take the image tensor; its modules' paths gain the prefix `model.`.

    Args:
        keys: the outputs to return, one tensor or a tuple; with none, all of them as a mapping.
    """
    import torch

    class Tensors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = inner

        def select(self, names: tuple[str, ...]) -> torch.nn.Module:
            return tensors(inner, names)

        def forward(
            self, image: torch.Tensor
        ) -> dict[str, torch.Tensor] | torch.Tensor | tuple[torch.Tensor, ...]:
            found = _outputs(self.model, image)
            if not keys:
                return found
            chosen = tuple(found[key] for key in keys)
            return chosen[0] if len(chosen) == 1 else chosen

    return Tensors()


def _outputs(inner: PreTrainedModel, image: torch.Tensor) -> dict[str, Any]:
    """What a model of transformers gives, by name; the maps of a backbone by the names of its stages."""
    if _is_pair(type(inner)):
        found = inner.get_image_features(pixel_values=image)
        return {"image_embeds": getattr(found, "pooler_output", found)}
    found = inner(pixel_values=image, return_dict=True)
    if "feature_maps" in found:
        return dict(zip(inner.out_features, found["feature_maps"], strict=True))
    return dict(found)


def _is_pair(kind: type[PreTrainedModel]) -> bool:
    """An image and a text tower, of which the image's can be asked alone."""
    return hasattr(kind, "get_image_features") and kind in _of_type(_TOWERS, kind.config_class)


def _takes_patches(kind: type[PreTrainedModel]) -> bool:
    """Images that were cut into patches before (NaFlex); the argument may have a default and yet be needed."""
    return any(p.name == "spatial_shapes" for p in _parameters(kind))


def _parameters(kind: type[PreTrainedModel]) -> tuple[inspect.Parameter, ...]:
    call = kind.get_image_features if _is_pair(kind) else kind.forward
    return tuple(inspect.signature(call).parameters.values())


def _other_inputs(kind: type[PreTrainedModel]) -> tuple[str, ...]:
    """What it cannot do without, besides the image."""
    named = (p for p in _parameters(kind) if p.kind is p.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in named if p.default is p.empty and p.name not in ("self", "pixel_values"))


def _towers(config: PretrainedConfig) -> tuple[PretrainedConfig, ...]:
    return tuple(kind for kind in _classes(_TOWERS, config) if _is_pair(kind))


def _projected(named: tuple[str, ...], config: PretrainedConfig) -> tuple[PretrainedConfig, ...]:
    found = (getattr(require("transformers"), name, None) for name in named if name.endswith(_PROJECTED))
    return tuple(kind for kind in found if getattr(kind, "config_class", None) is type(config))


def _plain_name(name: object) -> str:
    text = str(name)
    prefix = next((p for p in _OTHER_FRAMEWORKS if text.startswith(p)), "")
    return text.removeprefix(prefix)


def _classes(auto: str, config: PretrainedConfig) -> tuple[type[PreTrainedModel], ...]:
    return _of_type(auto, type(config))


def _of_type(auto: str, configuration: PretrainedConfig) -> tuple[type[PreTrainedModel], ...]:
    mapping = getattr(require("transformers"), auto)._model_mapping
    if configuration not in mapping:
        return ()
    found = mapping[configuration]
    return tuple(found) if isinstance(found, list | tuple) else (found,)
