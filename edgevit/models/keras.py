"""Models saved by Keras 3: `keras:FILE`, run on Keras' PyTorch backend."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import InputError, StepError, UsageError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.weights import check_finite
from edgevit.models._keras.file import check_keras
from edgevit.models._keras.model import image_input, module_of, pixel_range, without_softmax
from edgevit.models._origin import Stated, not_stated, stated
from edgevit.models._preprocess import for_channels, imagenet
from edgevit.models._request import refuse
from edgevit.models._spec import build

if TYPE_CHECKING:
    from types import ModuleType


def load(request: LoadRequest) -> TorchModel:
    """Open the file with Keras in safe mode, on PyTorch, in float32.

    The model keeps its Rescaling and Normalization layers. Preprocessing is what they ask for, pixels of
    0 to 255 or of 0 to 1 (see `pixel_range`; without such layers `--preprocess` must say it), after Keras'
    usual resize to the model's size without keeping the aspect, bilinear. A softmax at the end is taken off.

    Raises:
        InputError: no `.keras` file, or damaged.
        MissingDependencyError: Keras is not installed.
        StepError: Keras was imported with another backend before.
        UnsupportedError: a Lambda layer, code that is not Keras', or an input that is no image.
        UsageError: flags that change the model, another size than the file's, or a model that states no
            preprocessing.
    """
    refuse(
        request,
        "the file holds the architecture and its weights",
        "weights",
        "random_weights",
        "num_classes",
        "model_args",
    )
    path = Path(request.argument)
    check_keras(path)
    keras = _keras()
    model = _open(keras, path)
    size, channels, channels_last = image_input(model, path, request.image_size)
    if size is None:
        raise UsageError(f"{path} takes images of any size", "say which with --image-size N or HxW")
    preprocess, origin = _preprocess(model, size, channels, request)
    without_softmax(model)
    module = module_of(model, channels_last)
    check_finite(module, str(path))
    return build(
        module,
        name=path.stem,
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        labels=request.labels,
    )


def _keras() -> ModuleType:
    """Keras on PyTorch and the CPU; the environment decides both when it is imported."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["KERAS_TORCH_DEVICE"] = "cpu"
    keras = require("keras", "keras")
    require("h5py", "keras")
    used = keras.backend.backend()
    if used != "torch":
        raise StepError(
            f"Keras runs on {used} in this process, not on torch",
            "set KERAS_BACKEND=torch before it is imported",
        )
    return keras


def _open(keras: ModuleType, path: Path) -> object:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise while they are built again
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise InputError(
            f"Keras {keras.__version__} cannot open {path}: {reason[:300] or brief(error)}",
            "a newer Keras may have written it: pip install --upgrade keras",
        ) from error
    for layer in model._flatten_layers():
        if layer.compute_dtype != "float32" and layer.compute_dtype is not None:
            layer.dtype_policy = "float32"  # mixed precision keeps float32 weights; files decide on their own
    return model


def _preprocess(model: object, size: tuple[int, int], channels: int, request: LoadRequest) -> Stated:
    resized = for_channels(replace(imagenet(size), shorter_side=False, interpolation="bilinear"), channels)
    found = pixel_range(model)
    if found is None:
        why = "the model begins with neither a Rescaling nor a Normalization layer"
        return not_stated(request, size, why, resized)
    layer, white = found
    mean, std = (0.0,) * channels, (1 / white,) * channels
    origin = f"the model's own {layer} layer, which takes pixels of 0 to {white:g}"
    return stated(replace(resized, mean=mean, std=std), origin, request)


SOURCE: Final = Source(
    summary="a model saved by Keras 3, run on Keras' PyTorch backend",
    syntax="keras:FILE",
    load=load,
    extra="keras",
    path=str,
)
