"""What the sources make of the flags they share."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.models._checkpoint.adapted import Asked
from edgevit.models._checkpoint.candidates import Adapt
from edgevit.models._checkpoint.choose import Chosen
from edgevit.models._checkpoint.weights import check_finite, choose_weights, load_weights
from edgevit.models._random import randomise

if TYPE_CHECKING:
    import torch

_SIZES = frozenset(("img_size", "image_size", "patch_size", "window_size"))


def literals(arguments: Mapping[str, str]) -> dict[str, object]:
    """Values of `--model-arg` as Python literals (`depth=2`, `pool=avg`, `init_values=None`)."""
    found: dict[str, Any] = {}
    for key, text in arguments.items():
        if not key.isidentifier():
            raise UsageError(
                f"--model-arg {key}={text}: {key!r} is no argument name",
                "write the name as Python does, such as --model-arg drop_rate=0.1",
            )
        try:
            found[key] = (
                {"true": True, "false": False}.get(text)
                if text in ("true", "false")
                else ast.literal_eval(text)
            )
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def chosen_weights(
    module: torch.nn.Module, request: LoadRequest, adapt: Adapt | None = None
) -> Chosen | None:
    """The part of the file of `--weights` that is the model's; None without one, and for a JAX checkpoint.

    Raises:
        UsageError: `--random-weights` too, or a `--weights-key` that names nothing.
        InputError: unreadable, or for another architecture.
    """
    if request.weights is not None and request.random_weights is not None:
        raise UsageError("--weights and --random-weights exclude each other", "give one of them")
    if request.weights is None:
        if request.weights_key is not None:
            raise UsageError(
                f"--weights-key {request.weights_key} without --weights", "give --weights FILE too"
            )
        return None
    return choose_weights(module, request.weights, request.weights_key, adapt)


def weights_origin(request: LoadRequest, chosen: Chosen | None, published: str = "") -> str:
    """Where the weights come from, in the words of the report.

    Args:
        published: what stands for neither `--weights` nor `--random-weights`.
    """
    if request.random_weights is not None:
        return f"random, seed {request.random_weights}"
    if request.weights is None:
        return published
    return request.weights.name if chosen is None else chosen.origin


def given_weights(
    module: torch.nn.Module,
    request: LoadRequest,
    size: tuple[int, int],
    adapt: Adapt | None = None,
    chosen: Chosen | None = None,
) -> tuple[str, ...] | None:
    """Apply `--weights` or `--random-weights`; None if neither was given.

    Args:
        chosen: what `chosen_weights` found.

    Returns:
        What had to be changed to load them, one sentence each.

    Raises:
        InputError: the file does not fit; see `load_weights`.
    """
    if request.weights is not None:
        return load_weights(module, request.weights, adapt, asked(request, size), chosen)
    if request.random_weights is not None:
        randomise(module, request.random_weights, size)
        check_finite(module, "the random weights")
        return ()
    return None


def asked(request: LoadRequest, size: tuple[int, int]) -> Asked:
    """The (height, width) of the model's images, and whether the user named what depends on it."""
    return Asked(size, request.image_size is not None or bool(_SIZES & set(request.model_args)))


def refuse(request: LoadRequest, reason: str, *flags: str) -> None:
    """Refuse flags that a source can do nothing with.

    Raises:
        UsageError: one of `flags` (names of LoadRequest's attributes) was given.
    """
    for flag in flags:
        if getattr(request, flag) not in (None, {}, ()):
            option = "--model-arg" if flag == "model_args" else "--" + flag.replace("_", "-")
            raise UsageError(f"{option} does not apply to {request.source}: {reason}", f"leave out {option}")
