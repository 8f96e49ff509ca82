"""A Keras model on its PyTorch backend: as a module with paths and parameters, and what its layers say of pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.models._channels import USUAL

if TYPE_CHECKING:
    import torch
    from keras import Model
    from keras.layers import Layer


def layers(model: Model) -> Iterator[Layer]:
    """The layers in the order of the model, those of models inside it in their place."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from layers(layer)
        else:
            yield layer


def image_input(
    model: object, path: Path, wanted: tuple[int, int] | None
) -> tuple[tuple[int, int] | None, int, bool]:
    """(height, width), None if any size will do and none is `wanted`, the channels, and whether these come last.

    Where no axis has three, the first layer that knows an order of axes says which one they are.

    Raises:
        UnsupportedError: the model does not take one image with a fixed number of channels.
        UsageError: another size was asked for than the model has.
    """
    inputs = list(getattr(model, "inputs", None) or ())
    shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
    last = len(shape) == 4 and (shape[-1] == USUAL or (shape[1] != USUAL and _channels_last(model)))
    channels = None if len(shape) != 4 else shape[-1] if last else shape[1]
    if channels is None:
        taken = ", ".join(str(tuple(one.shape)) for one in inputs) or "an unknown shape"
        raise UnsupportedError(
            f"{path} must take one image (N, height, width, channels), it takes {taken}",
            "save it with such an Input",
        )
    height, width = shape[1:3] if last else shape[2:]
    if height is None or width is None:
        return wanted, int(channels), last
    if wanted not in (None, (height, width)):
        raise UsageError(f"{path} takes {height}x{width} images and no other", "leave out --image-size")
    return (int(height), int(width)), int(channels), last


def _channels_last(model: Model) -> bool:
    orders = (getattr(layer, "data_format", None) for layer in layers(model))
    return next((order for order in orders if order is not None), "channels_last") == "channels_last"


def pixel_range(model: Model) -> tuple[str, float] | None:
    """The first layer that tells the range of pixels, and the value of a white one at its input: 255 or 1.

    A Rescaling whose scale is below 0.1 (1/255, 1/127.5), or a Normalization whose mean or deviation is
    above 2, is made for values up to 255. None where neither stands before the first other layer with weights.
    """
    import numpy as np

    for layer in layers(model):
        kind = type(layer).__name__
        if kind == "Rescaling":
            return kind, 255.0 if float(np.abs(np.asarray(layer.scale)).max()) < 0.1 else 1.0
        if kind == "Normalization":
            mean, variance = (np.asarray(_array(value)) for value in (layer.mean, layer.variance))
            return kind, 255.0 if max(float(np.abs(mean).max()), float(variance.max()) ** 0.5) > 2 else 1.0
        if layer.weights:
            break
    return None


def without_softmax(model: Model) -> None:
    """Take the softmax off the end of a classifier, in place: edgevit's output is the logits."""
    import keras

    for output in model.outputs:
        last = output._keras_history.operation
        if hasattr(last, "layers") and getattr(last, "outputs", None):
            without_softmax(last)
        elif getattr(last, "activation", None) is keras.activations.softmax:
            last.activation = keras.activations.linear
        elif type(last).__name__ == "Softmax":
            last.call = lambda inputs, mask=None: inputs


def module_of(model: Model, channels_last: bool) -> torch.nn.Module:
    """Wrap a Keras model to take float32 (N, channels, height, width); the paths of its layers begin with `layers.`.

    Keras keeps weights in variables of its own, which torch.export would see as nameless constants. Here
    each call hands the module's parameters to those variables, as keras.Model.stateless_call does.
    """
    import keras
    import torch

    class KerasModule(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = _tree(model)
            places = _places(self.layers)
            self._places = [(v, *places[id(v.value)]) for v in model.variables if id(v.value) in places]

        def forward(self, image: torch.Tensor) -> Any:
            given = image.permute(0, 2, 3, 1) if channels_last else image
            values = [(variable, owner[name]) for variable, owner, name in self._places]
            with keras.StatelessScope(state_mapping=values):
                return model(given, training=False)

    return KerasModule()


def _tree(model: Model) -> torch.nn.ModuleDict:
    import torch

    return torch.nn.ModuleDict(
        {
            layer.name.replace(".", "_"): _tree(layer) if hasattr(layer, "layers") else layer
            for layer in model.layers
            if type(layer).__name__ != "InputLayer"
        }
    )


def _places(tree: torch.nn.Module) -> dict[int, tuple[torch.nn.ParameterDict, str]]:
    """Where each weight is, by identity: once, in the innermost layer, under the last part of Keras' name.

    Keras lists a weight in every layer around it, under names with slashes, which are none in a program.
    """
    import torch

    found: dict[int, tuple[torch.nn.ParameterDict, str]] = {}
    for owner in tree.modules():  # a layer's own parts come before the list of all its weights
        if not isinstance(owner, torch.nn.ParameterDict):
            continue
        for key, value in list(owner.items()):
            del owner[key]
            if id(value) in found:
                continue
            short = re.sub(r"\W", "_", key.rpartition("/")[2])
            name = re.sub(r"\W", "_", key) if short in owner else short
            owner[name] = value
            found[id(value)] = (owner, name)
    return found


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
