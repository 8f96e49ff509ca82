"""Make a model of timm, with a head for the right number of classes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UsageError, nearest
from edgevit.core.plugins import LoadRequest
from edgevit.core.require import require
from edgevit.models._checkpoint.candidates import Adapt
from edgevit.models._checkpoint.choose import Chosen
from edgevit.models._checkpoint.classes import Classes, last_layers, settle, stored_classes
from edgevit.models._probe import size_refused
from edgevit.models._request import chosen_weights

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Settled:
    """A module without its weights.

    Attributes:
        classes: what its head was made for.
        chosen: the part of the file of `--weights` that is for it; None without such a file.
    """

    module: torch.nn.Module
    classes: Classes
    chosen: Chosen | None


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


def settled(name: str, arguments: Mapping[str, Any], request: LoadRequest) -> Settled:
    """Make the module with a head for the right number of classes.

    Args:
        name: of the architecture, perhaps with a tag.
        arguments: of `timm.create_model`.

    Raises:
        UsageError: arguments that the architecture does not take.
        InputError: weights for another architecture, or labels, weights and `--num-classes` contradict each other.
        StepError: it cannot be made for this image size.
    """
    module = create(name, arguments)
    chosen = chosen_weights(module, request, adapt(module))
    classes = _classes_of(module, request, chosen)
    if classes.number != getattr(module, "num_classes", classes.number):
        module = create(name, {**arguments, "num_classes": classes.number})
    return Settled(module, classes, chosen)


def adapt(module: torch.nn.Module) -> Adapt:
    """The renaming that timm keeps beside an architecture, and no classifier where the model has none."""
    return _without_head(module, _renaming(module))


def _renaming(module: torch.nn.Module) -> Adapt:
    """What timm keeps for its publishers' own files."""
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


def _without_head(module: torch.nn.Module, rename: Adapt) -> Adapt:
    """Leave the file's classifier out where the model was made without one (`--num-classes 0`)."""

    def apply(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state = rename(state)
        if getattr(module, "num_classes", 1) != 0:
            return state
        heads = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
        prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
        return {key: value for key, value in state.items() if not key.startswith(prefixes)}

    return apply


def create(name: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    """What timm makes, without weights.

    Raises:
        UsageError: arguments that the architecture does not take.
        StepError: it cannot be made for this image size.
    """
    import timm

    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except (TypeError, ValueError, LookupError, AssertionError, RuntimeError) as error:
        features = bool(arguments.get("features_only"))
        if isinstance(error, AssertionError) and "img_size" in arguments and not features:
            raise size_refused(f"timm:{name}", error) from error
        passed = {key: value for key, value in arguments.items() if key != "pretrained_cfg"}
        given = ", ".join(f"{key}={value!r}" for key, value in passed.items()) or "no arguments"
        raise UsageError(
            f"timm cannot make {name} with {given}: {error}",
            "name its stages or blocks with --model-arg out_indices=[0]: by default the last three are taken"
            if features
            else "check --model-arg, --image-size and --num-classes",
        ) from error
    return module


def _classes_of(module: torch.nn.Module, request: LoadRequest, chosen: Chosen | None) -> Classes:
    """What the head has to be made for."""
    own = int(getattr(module, "num_classes", 0) or 0)
    if not own:
        return Classes(0)
    named = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    heads = (named,) if isinstance(named, str) else tuple(named)
    stored = stored_classes(request, heads or last_layers(module, own), chosen)
    return settle(request, own, stored, str(request.weights))


def imagenet_labels(module: torch.nn.Module) -> tuple[str, ...]:
    """Descriptions of the ImageNet subset that the head was made for; empty if it is none of them."""
    data = require("timm.data")
    subset = data.infer_imagenet_subset(module)
    if subset is None:
        return ()
    info = data.ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))
