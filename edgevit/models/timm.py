"""timm's architectures: `timm:NAME`, weights from a file, seeded, or timm's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UsageError, nearest
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.models._adapted import Asked
from edgevit.models._classes import Classes, last_layers, settle, stored_classes
from edgevit.models._hub import hub_file
from edgevit.models._origin import stated
from edgevit.models._preprocess import from_timm
from edgevit.models._probe import size_refused
from edgevit.models._request import asked, given_weights, literals
from edgevit.models._spec import build
from edgevit.models._weights import Adapt, load_weights

if TYPE_CHECKING:
    import torch


def load(request: LoadRequest) -> TorchModel:
    """Create the architecture, fill it, and take preprocessing from its `pretrained_cfg`.

    Raises:
        UsageError: unknown name, tag or argument.
        InputError: weights that don't fit, or no weights and no network.
    """
    timm = require("timm")
    name = request.argument
    _check_name(name)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown weights in timm:{name}: {error}", "leave out what stands behind the dot"
        ) from error
    arguments: dict[str, Any] = literals(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    if request.image_size is not None and config is not None and config.fixed_input_size:
        arguments["img_size"] = request.image_size
    module = _create(name, arguments)
    classes = _classes_of(module, request)
    if classes.number != getattr(module, "num_classes", classes.number):
        module = _create(name, {**arguments, "num_classes": classes.number})
    own = from_timm(timm.data.resolve_model_data_config(module), request.image_size)
    preprocess, origin = stated(own, _origin(name, config, request), request)
    size = (preprocess.height, preprocess.width)
    told = given_weights(module, request, size, _adapt(module))
    published = told is None
    if told is None:
        told = _pretrained(module, name, config, asked(request, size))
    return build(
        module,
        name=name.split(".")[0],
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        warnings=(*classes.told, *told),
        labels=request.labels or _labels(module, config),
        license=str(config.license or "") if published else "",
    )


def _check_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        known = timm.list_models()
        hint = nearest(name.split(".")[0], known)
        raise UsageError(
            f"timm has no model {name!r}",
            hint.partition(" Known:")[0]
            if hint.startswith("did")
            else f"timm.list_models() names all {len(known)}",
        )


def _origin(name: str, config: Any, request: LoadRequest) -> str:
    tag = getattr(config, "tag", "")
    full = f"{name.split('.')[0]}.{tag}" if tag else name
    text = f"timm's configuration of {full}"
    return text if request.weights is None else f"{text}, since {request.weights.name} holds none"


def _create(name: str, arguments: dict[str, Any]) -> torch.nn.Module:
    import timm

    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if isinstance(error, AssertionError) and "img_size" in arguments:
            raise size_refused(f"timm:{name}", error) from error
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "no arguments"
        raise UsageError(
            f"timm cannot make {name} with {given}: {error}",
            "check --model-arg, --image-size and --num-classes",
        ) from error
    return module


def _classes_of(module: torch.nn.Module, request: LoadRequest) -> Classes:
    """What the head has to be made for."""
    own = int(getattr(module, "num_classes", 0) or 0)
    if not own:
        return Classes(0)
    named = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    heads = (named,) if isinstance(named, str) else tuple(named)
    stored = stored_classes(request, heads or last_layers(module, own), _adapt(module))
    return settle(request, own, stored, str(request.weights))


def _adapt(module: torch.nn.Module) -> Adapt:
    """The renaming that timm keeps beside an architecture for its publishers' own files."""
    rename = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)

    def apply(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if rename is None:
            return state
        try:
            renamed: dict[str, torch.Tensor] = rename(dict(state), module)
        except (KeyError, RuntimeError, ValueError, AttributeError, TypeError, IndexError):
            return state  # not that publisher's file: the plain comparison says what differs
        return renamed

    return apply


def _pretrained(module: torch.nn.Module, name: str, config: Any, size: Asked) -> tuple[str, ...]:
    flags = "give --weights FILE or --random-weights SEED"
    if config is None or not config.hf_hub_id:
        raise InputError(f"timm publishes no weights for {name}", flags)
    if getattr(module, "num_classes", 0) not in (0, config.num_classes):
        raise UsageError(
            f"the published weights of {name} have {config.num_classes} classes, --num-classes asks for "
            f"{module.num_classes}, whose head would be untrained",
            flags,
        )
    repository, _, revision = str(config.hf_hub_id).partition("@")
    path: Path | None = None
    for filename in (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
        path = path or (hub_file(repository, filename, revision or None) if filename else None)
    if path is None:
        raise InputError(f"{repository} on the hub holds no weights", flags)
    return load_weights(module, path, _without_head(module, _adapt(module)), size)


def _without_head(module: torch.nn.Module, adapt: Adapt) -> Adapt:
    """Drop the published classifier where the model was made without one (`--num-classes 0`)."""

    def apply(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state = adapt(state)
        if getattr(module, "num_classes", 1) != 0:
            return state
        heads = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
        prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
        return {key: value for key, value in state.items() if not key.startswith(prefixes)}

    return apply


def _labels(module: torch.nn.Module, config: Any) -> tuple[str, ...]:
    """Descriptions of the ImageNet subset that the head was made for; empty if it is another head."""
    data = require("timm.data")
    if config is None or getattr(module, "num_classes", None) != config.num_classes:
        return ()
    subset = data.infer_imagenet_subset(module)
    if subset is None:
        return ()
    info = data.ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))


SOURCE: Final = Source(
    summary="an architecture of timm, with weights from a file, seeded, or timm's own",
    syntax="timm:NAME",
    load=load,
)
