"""Heads that compute the same under another name: a linear layer alone, or in a Sequential with nothing but dropout.

A training script replaces `model.heads = nn.Linear(...)` where the library has `heads.head`, or `model.classifier`
where it has dropout and the layer in `classifier.1`. When nothing else in the container computes anything, the names
alone differ. Of the opposite, a container in the file where the model has a layer, the file does not say what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from edgevit.models._checkpoint.parts import State


def bare_heads(module: torch.nn.Module) -> Mapping[str, str]:
    """Path of each container that holds one linear layer and nothing else that computes -> path of the layer."""
    from torch import nn

    found = {}
    for path, container in module.named_modules():
        if path and isinstance(container, nn.Sequential):
            layers = {
                name: layer for name, layer in container.named_children() if not isinstance(layer, _silent())
            }
            if len(layers) == 1 and all(isinstance(layer, nn.Linear) for layer in layers.values()):
                found[path] = f"{path}.{next(iter(layers))}"
    return found


def named_as(heads: Mapping[str, str], state: State) -> State:
    """`state` with the layer's path where it has the container's, as far as that is not there already."""
    names = {f"{path}.{end}": f"{layer}.{end}" for path, layer in heads.items() for end in ("weight", "bias")}
    return {name if names.get(name, name) in state else names[name]: value for name, value in state.items()}


def _silent() -> tuple[type[torch.nn.Module], ...]:
    """What does nothing when a model is used."""
    from torch import nn

    return (nn.Identity, nn.Dropout, nn.AlphaDropout)
