"""Any PyTorch module: `python:MODULE_OR_FILE:FACTORY`. It runs that code."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Literal

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest, NotFromPlan, Source
from edgevit.core.require import require
from edgevit.core.types import NOT_STATED, Preprocess, TorchModel
from edgevit.models._channels import channels_of
from edgevit.models._checkpoint.choose import Chosen
from edgevit.models._checkpoint.classes import Classes, last_layers, settle, stored_classes
from edgevit.models._factory import is_instance, make
from edgevit.models._origin import for_module, not_stated
from edgevit.models._preprocess import for_channels, from_timm, imagenet
from edgevit.models._request import chosen_weights, given_weights, literals, weights_origin
from edgevit.models._spec import build
from edgevit.models._user_code import as_script, import_place, look_up

if TYPE_CHECKING:
    import torch

_DEFAULT_SIZE = (224, 224)


def load(request: LoadRequest) -> TorchModel:
    """Take FACTORY if it is a module with its weights, else call it for one, with `--model-arg` and `num_classes`.

    The code runs as `python FILE` without arguments does, so that a script which reads its command line gets its
    defaults.

    Preprocessing is that of timm's `pretrained_cfg` if the module carries one; else `--preprocess` must
    give mean and std. The input size is 224x224 without `--image-size`. A
    module of several independent labels or of a regression says so in an attribute `problem_type`, as
    transformers' configurations do.

    Raises:
        UsageError: no such module, file or factory, arguments that it does not take, or a module that does not
            state its preprocessing.
        InputError: the factory gives no module.
        StepError: the code raised an exception.
    """
    place, colon, factory = request.argument.rpartition(":")
    if not colon or not place or not factory:
        raise UsageError(
            f"{request.source!r} is not of the form python:MODULE_OR_FILE:FACTORY",
            "name the file or module and a function or class in it, such as python:net.py:make",
        )
    arguments: dict[str, object] = literals(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    what = f"{factory} of {place}"
    settled: tuple[str, ...] = ()
    with as_script(place):
        found = look_up(import_place(place), place, factory)
        how = _takes_classes(found)
        if how == "must" and "num_classes" not in arguments:
            if not request.labels:
                raise UsageError(
                    f"{what} has to be told the number of classes", "add --num-classes N or --labels FILE"
                )
            arguments["num_classes"] = len(request.labels)
        module = make(found, what, arguments)
        chosen = chosen_weights(module, request)
        if how == "may" and "num_classes" not in arguments:
            classes = _classes_of(module, request, chosen)
            if classes is not None and classes.notes:
                module = make(found, what, {**arguments, "num_classes": classes.number})
                settled = classes.notes
    preprocess, origin = preprocess_of_module(module, request)
    notes = given_weights(module, request, (preprocess.height, preprocess.width), chosen=chosen)
    return build(
        module,
        name=factory.rpartition(".")[2],
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights_origin(request, chosen),
        warnings=(*settled, *(notes or ())),
        labels=request.labels,
        problem_type=getattr(module, "problem_type", None),
    )


def _takes_classes(found: Any) -> Literal["must", "may", "no"]:
    """Whether a factory has an argument of that name, and one without a default."""
    if is_instance(found):
        return "no"
    try:
        parameter = inspect.signature(found).parameters.get("num_classes")
    except (TypeError, ValueError):  # built in C
        return "no"
    if parameter is None or parameter.kind is parameter.POSITIONAL_ONLY:
        return "no"
    return "must" if parameter.default is parameter.empty else "may"


def _classes_of(module: torch.nn.Module, request: LoadRequest, chosen: Chosen | None) -> Classes | None:
    """What the head has to be made for; None where the factory's own weights are used, whose head is fixed."""
    import torch

    if request.weights is None and request.random_weights is None:
        return None
    linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    if not linear:
        return None
    own = linear[-1].out_features
    return settle(
        request, own, stored_classes(request, last_layers(module, own), chosen), str(request.weights)
    )


def preprocess_of_module(module: torch.nn.Module, request: LoadRequest) -> tuple[Preprocess, str]:
    """From timm's `pretrained_cfg` if the module carries one, else from `--preprocess`.

    Raises:
        UsageError: neither says mean and std.
    """
    if getattr(module, "pretrained_cfg", None):
        resolve = require("timm.data").resolve_model_data_config
        found = from_timm(resolve(module), request.image_size or _made_for(module), request.preprocess)
        return for_module(found, "the module's own pretrained_cfg (timm)", module, request)
    size = request.image_size or _DEFAULT_SIZE
    found, origin = not_stated(
        request,
        size,
        "the module has no pretrained_cfg, and its weights hold neither mean nor std",
        for_channels(imagenet(size), channels_of(module, size)),
    )
    if request.image_size is None and origin != NOT_STATED:
        origin += f"; {_DEFAULT_SIZE[0]}x{_DEFAULT_SIZE[1]} pixels, since --image-size is not given"
    return found, origin


def _made_for(module: torch.nn.Module) -> tuple[int, int] | None:
    """(height, width) where a model of timm was made for a size that its `pretrained_cfg` does not know."""
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None


def _file(argument: str) -> str | None:
    place = argument.rpartition(":")[0]
    return place if place.endswith(".py") else None


SOURCE: Final = Source(
    summary="your own PyTorch module; runs that code",
    syntax="python:MODULE_OR_FILE:FACTORY",
    load=load,
    name=lambda argument: argument.rpartition(":")[2],  # the factory
    path=_file,
    headless=True,
    not_from_plan=NotFromPlan(
        "which is code; a plan alone does not run code", "name it if you trust it: {model} --plan {plan}"
    ),
)
