"""config.json of a Hugging Face folder: what it asks for, without code, and changed by flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest
from edgevit.models._hf.defaults import has_own_size
from edgevit.models._request import literals

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_CODE: Final = re.compile(r"auto_map|_?(attn|experts)_implementation(_internal)?")
_TIMM: Final = "timm_wrapper"
# Where a model that takes its images through another one keeps the other's configuration.
_INNER: Final = ("vision_config", "backbone_config")
_LABELS: Final = ("id2label", "label2id", "label_names")  # of the head that --num-classes replaces


def configuration(request: LoadRequest, data: dict[str, Any]) -> Any:
    """A configuration object of transformers, with what `--num-classes`, `--image-size` and `--model-arg` change.

    Args:
        data: config.json.

    Raises:
        InputError: a value that the configuration's class refuses.
        UnsupportedError: an architecture that transformers does not have.
    """
    from transformers import CONFIG_MAPPING

    kind = data.get("model_type")
    if kind is None and isinstance(data.get("pretrained_cfg"), dict) and "architecture" in data:
        kind = _TIMM  # a folder that timm's save_for_hf wrote
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise UnsupportedError(
            f"transformers has no architecture {kind!r} (model_type in config.json); code that comes with a "
            "model is not run",
            "load it yourself and pass it through python:FILE:FACTORY",
        )
    data = without_code(data)
    if request.num_classes is not None:
        data = {key: value for key, value in data.items() if key not in _LABELS}
    changes = _timm_changes(request, data) if kind == _TIMM else _changes(request, data)
    try:
        return CONFIG_MAPPING[kind].from_dict({**data, **changes})
    except Exception as error:  # the validation of each configuration class raises its own types
        raise InputError(
            f"config.json is not a valid {kind} configuration: {brief(error)}",
            "give the folder as save_pretrained wrote it",
        ) from error


def without_code(data: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what makes transformers fetch code: Python of a repository, native kernels.

    `attn_implementation` may name a repository of the hub, whose kernels are then downloaded and loaded.
    """
    return {
        key: without_code(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if _CODE.fullmatch(key) is None
    }


def _changes(request: LoadRequest, data: Mapping[str, Any]) -> dict[str, Any]:
    changes = literals(request.model_args)
    if request.num_classes is not None:
        changes["num_labels"] = request.num_classes
    if request.image_size is not None and has_own_size(str(data.get("model_type"))):
        height, width = request.image_size
        inner = next((name for name in _INNER if isinstance(data.get(name), dict)), None)
        own = data if inner is None else data[inner]
        one = height == width and not isinstance(own.get("image_size"), list)
        size = height if one else [height, width]
        if inner is None:
            changes["image_size"] = size
        elif has_own_size(str(own.get("model_type"))):
            changes[inner] = {**own, "image_size": size}
    return changes


def _timm_changes(request: LoadRequest, data: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a model of timm, whose arguments and classes have other names."""
    given = data.get("model_args")
    arguments = {**(given if isinstance(given, dict) else {}), **literals(request.model_args)}
    record = data.get("pretrained_cfg")
    fixed = isinstance(record, dict) and record.get("fixed_input_size")
    if request.image_size is not None and fixed:
        arguments["img_size"] = list(request.image_size)
    arguments.pop("num_classes", None)  # timm keeps it twice
    changes: dict[str, object] = {"model_args": arguments}
    if request.num_classes is not None:
        changes["num_classes"] = request.num_classes
    return changes


def class_names(config: PretrainedConfig) -> tuple[str, ...]:
    """Class names of config.json; empty where they are transformers' own LABEL_0, LABEL_1, ..."""
    names = {int(index): str(name) for index, name in (config.id2label or {}).items()}
    if len(names) < 2 or config.problem_type == "regression":
        return ()  # one number decides between two classes, of which the file names one at most
    if sorted(names) != list(range(len(names))) or all(name == f"LABEL_{i}" for i, name in names.items()):
        return ()
    return tuple(names[index] for index in range(len(names)))
