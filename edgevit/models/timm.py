"""timm's architectures: `timm:NAME`, weights from a file, seeded, or timm's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.adapted import Asked
from edgevit.models._checkpoint.choose import Chosen
from edgevit.models._checkpoint.weights import load_weights
from edgevit.models._hub import hub_file
from edgevit.models._origin import for_module
from edgevit.models._preprocess import from_timm
from edgevit.models._repository import Find, folder_files, read_config, repository_files
from edgevit.models._request import asked, given_weights, literals, weights_origin
from edgevit.models._spec import build
from edgevit.models._timm.features import features, whole
from edgevit.models._timm.folder import load_timm_folder
from edgevit.models._timm.model import adapt, check_name, imagenet_labels, settled
from edgevit.models._timm.trained import describe as describe_trained
from edgevit.models._timm.trained import trained_with

if TYPE_CHECKING:
    import torch


def load(request: LoadRequest) -> TorchModel:
    """Create the architecture, fill it, and take preprocessing from its `pretrained_cfg`.

    `hf-hub:OWNER/NAME` and `local-dir:DIR` are a repository and a folder of timm's `save_for_hf`, as
    `timm.create_model` takes them.

    Raises:
        UsageError: unknown name, tag or argument.
        InputError: weights that don't fit, or no weights and no network.
    """
    timm = require("timm")
    name = request.argument
    kind, colon, place = name.partition(":")
    if colon:
        find = _saved(kind, place, request)
        return load_timm_folder(request, read_config(find, request.source), find)
    check_name(name)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown weights in timm:{name}: {error}", "leave out what stands behind the dot"
        ) from error
    arguments: dict[str, object] = literals(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    if request.image_size is not None and config is not None and config.fixed_input_size:
        arguments["img_size"] = request.image_size
    made = settled(name, whole(arguments), request)
    module = made.module
    fixed = config is None or config.fixed_input_size
    trained = trained_with(made.chosen, fixed or request.image_size is not None)
    own = from_timm(
        timm.data.resolve_model_data_config(module, trained), request.image_size, request.preprocess
    )
    preprocess, origin = for_module(
        own, _origin(name, config, request, made.chosen, trained), module, request
    )
    size = (preprocess.height, preprocess.width)
    notes = given_weights(module, request, size, adapt(module), made.chosen)
    published = notes is None
    if notes is None:
        notes = _pretrained(module, name, config, asked(request, size))
    module = features(name, arguments, module)
    return build(
        module,
        name=name.split(".")[0],
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights_origin(
            request, made.chosen, f"timm's published weights of {_tagged(name, config)}"
        ),
        warnings=(*made.classes.notes, *notes),
        labels=request.labels or _labels(module, config),
        license=str(config.license or "") if published else "",
    )


def _saved(kind: str, place: str, request: LoadRequest) -> Find:
    if kind in ("hf-hub", "hf_hub") and place:
        return repository_files(place)
    folder = _folder(f"{kind}:{place}")
    if folder is not None:
        return folder_files(Path(folder))
    raise UsageError(f"{request.source!r} is no model of timm", f"it is one of: {SOURCE.syntax}")


def _folder(argument: str) -> str | None:
    kind, _, place = argument.partition(":")
    return place if kind == "local-dir" and place else None


def _tagged(name: str, config: Any) -> str:
    """The name with the tag of its published weights, which may be left out."""
    tag = getattr(config, "tag", "")
    return f"{name.split('.')[0]}.{tag}" if tag else name


def _origin(
    name: str, config: Any, request: LoadRequest, chosen: Chosen | None, trained: Mapping[str, object]
) -> str:
    text = f"timm's configuration of {_tagged(name, config)}"
    if changed := describe_trained(chosen, trained):
        return f"{text}{changed}"
    return text if request.weights is None else f"{text}, since {request.weights.name} holds none"


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
    return load_weights(module, path, adapt(module), size)


def _labels(module: torch.nn.Module, config: Any) -> tuple[str, ...]:
    """ImageNet's names, if the head is the published one."""
    published = config is not None and getattr(module, "num_classes", None) == config.num_classes
    return imagenet_labels(module) if published else ()


SOURCE: Final = Source(
    summary="an architecture of timm, with weights from a file, seeded, or timm's own; or what save_for_hf wrote",
    syntax="timm:NAME, timm:hf-hub:OWNER/NAME or timm:local-dir:DIR",
    load=load,
    isolated=lambda argument: _folder(argument) is not None,
    name=lambda argument: argument.rpartition(":")[2],  # behind local-dir: and hf-hub:
    path=_folder,
    headless=True,
    self_contained=lambda argument, weights: (
        _folder(argument) is not None or (weights and ":" not in argument)
    ),
)
