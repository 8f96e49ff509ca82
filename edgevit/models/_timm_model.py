"""Make a model of timm, with a head for the right number of classes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UsageError, nearest
from edgevit.core.plugins import LoadRequest
from edgevit.core.require import require
from edgevit.models._classes import Classes, last_layers, settle, stored_classes
from edgevit.models._probe import size_refused
from edgevit.models._weights import Adapt

if TYPE_CHECKING:
    import torch


def check_name(name: str) -> None:
    """Raise UsageError for an architecture that timm does not have."""
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


def settled(name: str, arguments: Mapping[str, Any], request: LoadRequest) -> tuple[torch.nn.Module, Classes]:
    """The module without its weights, and what its head was made for.

    Args:
        name: of the architecture, perhaps with a tag.
        arguments: of `timm.create_model`.

    Raises:
        UsageError: arguments that the architecture does not take.
        InputError: labels, weights and `--num-classes` contradict each other.
        StepError: it cannot be made for this image size.
    """
    module = _create(name, arguments)
    classes = _classes_of(module, request)
    if classes.number != getattr(module, "num_classes", classes.number):
        module = _create(name, {**arguments, "num_classes": classes.number})
    return module, classes


def adapt(module: torch.nn.Module) -> Adapt:
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


def without_head(module: torch.nn.Module, rename: Adapt) -> Adapt:
    """Leave the file's classifier out where the model was made without one (`--num-classes 0`)."""

    def apply(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state = rename(state)
        if getattr(module, "num_classes", 1) != 0:
            return state
        heads = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
        prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
        return {key: value for key, value in state.items() if not key.startswith(prefixes)}

    return apply


def _create(name: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    import timm

    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if isinstance(error, AssertionError) and "img_size" in arguments:
            raise size_refused(f"timm:{name}", error) from error
        told = {key: value for key, value in arguments.items() if key != "pretrained_cfg"}
        given = ", ".join(f"{key}={value!r}" for key, value in told.items()) or "no arguments"
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
    stored = stored_classes(request, heads or last_layers(module, own), adapt(module))
    return settle(request, own, stored, str(request.weights))


def imagenet_labels(module: torch.nn.Module) -> tuple[str, ...]:
    """Descriptions of the ImageNet subset that the head was made for; empty if it is none of them."""
    data = require("timm.data")
    subset = data.infer_imagenet_subset(module)
    if subset is None:
        return ()
    info = data.ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))
