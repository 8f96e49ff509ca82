"""A model that timm's `save_for_hf` or `push_to_hf_hub` wrote: config.json and weights, in a folder or on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.formats.labels import SYNSET
from edgevit.models._origin import stated
from edgevit.models._preprocess import from_timm
from edgevit.models._repository import Find, first_of
from edgevit.models._request import given_weights, literals, weights_origin
from edgevit.models._spec import build
from edgevit.models._timm.features import features, whole
from edgevit.models._timm.model import adapt, check_name, imagenet_labels, settled

if TYPE_CHECKING:
    import torch

# The first of these that is there, as timm itself looks for them.
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
# Arguments of timm's functions around the architecture: where weights are from, and how they are held.
_NOT_OF_THE_MODEL: Final = re.compile(
    r"pretrained\w*|checkpoint_path|cache_dir|scriptable|exportable|no_jit|device|dtype"
)


@dataclass(frozen=True, slots=True)
class _Described:
    """config.json, taken apart.

    Attributes:
        config: the fields of timm's PretrainedCfg: preprocessing, number of classes, name of the head.
        arguments: of `timm.create_model`.
        labels: class names in index order; empty where there are none.
    """

    architecture: str
    config: Mapping[str, Any]
    arguments: Mapping[str, object]
    labels: tuple[str, ...]


def is_timm_folder(data: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of timm: transformers' own always names a `model_type`."""
    return "model_type" not in data and isinstance(data.get("architecture"), str)


def load_timm_folder(request: LoadRequest, data: Mapping[str, Any], find: Find) -> TorchModel:
    """Make the architecture that config.json names with its own arguments, and fill it.

    Preprocessing and class names are those of config.json.

    Args:
        data: config.json.
        find: the files beside it.

    Raises:
        UsageError: an architecture that timm does not have, or arguments that it does not take.
        InputError: config.json is malformed, or the weights are missing or don't fit.
    """
    described = _read(data)
    check_name(described.architecture)
    weights = request.weights
    if weights is None and request.random_weights is None:
        weights = _weights(request, find)
    names = described.labels if request.num_classes in (None, len(described.labels)) else ()
    filled = replace(request, weights=weights, labels=request.labels or names)
    arguments = _arguments(described, request)
    made = settled(described.architecture, whole(arguments), filled)
    module = made.module
    resolve = require("timm.data").resolve_model_data_config
    try:
        own = from_timm(resolve(module), request.image_size, request.preprocess)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"pretrained_cfg in config.json is not understood: {brief(error)}",
            "write the folder again with timm.models.save_for_hf",
        ) from error
    preprocess, origin = stated(own, "pretrained_cfg in config.json (timm)", request)
    size = (preprocess.height, preprocess.width)
    notes = given_weights(module, filled, size, adapt(module), made.chosen)
    extracted = features(described.architecture, arguments, module)
    names = filled.labels or _published_labels(module, request)
    return build(
        extracted,
        name=Path(request.argument.rpartition(":")[2].partition("@")[0]).name,
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights_origin(filled, made.chosen),
        warnings=(*made.classes.notes, *(notes or ())),
        labels=names if extracted is module else request.labels,
        license=str(described.config.get("license") or "") if request.weights is None else "",
    )


def _read(data: Mapping[str, Any]) -> _Described:
    from timm.models import PretrainedCfg

    architecture = data.get("architecture")
    # Folders of before timm 0.9 hold the fields of pretrained_cfg beside the architecture.
    config = data.get("pretrained_cfg", data)
    arguments = data.get("model_args") or {}
    if not isinstance(architecture, str) or not isinstance(config, dict) or not isinstance(arguments, dict):
        raise InputError(
            "config.json is not one of timm: it needs `architecture`, and `pretrained_cfg` and `model_args` as "
            "objects where it has them",
            "write the folder with timm.models.save_for_hf",
        )
    known = {entry.name for entry in fields(PretrainedCfg)}
    found = {key: value for key, value in {**config, **_numbers(data)}.items() if key in known}
    return _Described(
        architecture,
        {**found, "architecture": architecture},
        {key: value for key, value in arguments.items() if _NOT_OF_THE_MODEL.fullmatch(key) is None},
        _labels({**config, **data}),
    )


def _numbers(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"num_classes": data["num_classes"]} if "num_classes" in data else {}


def _labels(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The names, or their descriptions where the names are WordNet's numbers."""
    names = data.get("label_names") or data.get("labels") or ()
    if isinstance(names, Mapping):
        if sorted(names) != sorted(map(str, range(len(names)))):
            raise InputError(
                "label_names in config.json does not name every class from 0 on",
                "give the names with --labels FILE",
            )
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list | tuple):
        raise InputError(
            "label_names in config.json is no list of names", "give the names with --labels FILE"
        )
    texts = tuple(map(str, names))
    described = data.get("label_descriptions")
    if isinstance(described, Mapping) and all(map(SYNSET.fullmatch, texts)):
        return tuple(str(described.get(text, text)) for text in texts)
    return texts


def _arguments(described: _Described, request: LoadRequest) -> dict[str, object]:
    found = {
        **described.arguments,
        **literals(request.model_args),
        "pretrained_cfg": dict(described.config),
    }
    if request.num_classes is not None:
        found["num_classes"] = request.num_classes
    if request.image_size is not None and described.config.get("fixed_input_size"):
        found["img_size"] = request.image_size
    return found


def _weights(request: LoadRequest, find: Find) -> Path:
    path = first_of(find, _WEIGHTS)
    if path is None:
        raise InputError(
            f"{request.source} holds none of {', '.join(_WEIGHTS)}",
            "give --weights FILE or --random-weights SEED",
        )
    return path


def _published_labels(module: torch.nn.Module, request: LoadRequest) -> tuple[str, ...]:
    """ImageNet's names for what timm itself publishes; another's 1,000 classes may be others."""
    ours = request.argument.removeprefix("hf-hub:").startswith("timm/")
    return imagenet_labels(module) if ours and request.num_classes is None else ()
