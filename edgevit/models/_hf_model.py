"""Which class of transformers a configuration stands for, and its output as named tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.require import require

if TYPE_CHECKING:
    import torch


def architecture(config: Any, classifier: bool) -> Any:
    """The class that config.json names under `architectures`, a classifier or the model without a head.

    Where it names neither (or nothing), the image classifier of that configuration, if there is one.

    Args:
        config: a configuration object of transformers.
        classifier: a classifier was asked for (`--num-classes`).

    Raises:
        UnsupportedError: transformers has neither for this configuration.
    """
    auto = require("transformers")
    heads = _classes(auto.AutoModelForImageClassification, config)
    bases = _classes(auto.AutoModel, config)
    named = tuple(getattr(config, "architectures", None) or ())
    wanted = heads if classifier else heads + bases
    found = next((kind for kind in wanted if kind.__name__ in named), None)
    if found is None and not wanted:
        raise UnsupportedError(
            f"transformers has no image {'classifier' if classifier else 'model'} for {config.model_type!r}",
            "leave out --num-classes" if bases else "pass it through python:FILE:FACTORY",
        )
    return found or wanted[0]


def is_classifier(kind: Any) -> bool:
    """Whether a class of transformers gives logits."""
    return "ForImageClassification" in kind.__name__


def create(kind: Any, config: Any) -> torch.nn.Module:
    """The model with fresh weights, attention through scaled_dot_product_attention where it can.

    Raises:
        InputError: the values of the configuration don't go together.
        UnsupportedError: it takes something else than images.
    """
    if getattr(kind, "main_input_name", "pixel_values") != "pixel_values":
        raise UnsupportedError(
            f"{kind.__name__} takes {kind.main_input_name}, not images",
            "save its image tower (such as CLIPVisionModel) with save_pretrained",
        )
    try:
        module: torch.nn.Module = kind._from_config(
            config, attn_implementation="sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"
        )
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"transformers cannot build the model of config.json: {brief(error)}") from error
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
            found = self.model(pixel_values=image, return_dict=True)
            if not keys:
                return dict(found)
            chosen = tuple(found[key] for key in keys)
            return chosen[0] if len(chosen) == 1 else chosen

    return Tensors()


def _classes(auto: Any, config: Any) -> tuple[Any, ...]:
    mapping = auto._model_mapping
    if type(config) not in mapping:
        return ()
    found = mapping[type(config)]
    return tuple(found) if isinstance(found, list | tuple) else (found,)
