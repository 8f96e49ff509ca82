"""What the sources make of the flags they share."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.models._adapted import Asked
from edgevit.models._random import randomise
from edgevit.models._weights import Adapt, check_finite, load_weights

if TYPE_CHECKING:
    import torch

_SIZES = frozenset(("img_size", "image_size", "patch_size", "window_size"))


def literals(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Values of `--model-arg` as Python literals (`depth=2`, `pool=avg`, `init_values=None`)."""
    found: dict[str, Any] = {}
    for key, text in arguments.items():
        if not key.isidentifier():
            raise UsageError(f"--model-arg {key}={text}: {key!r} is no argument name")
        try:
            found[key] = (
                {"true": True, "false": False}.get(text)
                if text in ("true", "false")
                else ast.literal_eval(text)
            )
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def given_weights(
    module: torch.nn.Module, request: LoadRequest, size: tuple[int, int], adapt: Adapt | None = None
) -> tuple[str, ...] | None:
    """Apply `--weights` or `--random-weights`; None if neither was given.

    Returns:
        What had to be changed to load them, one sentence each.

    Raises:
        UsageError: both were given.
        InputError: the file does not fit; see `load_weights`.
    """
    if request.weights is not None and request.random_weights is not None:
        raise UsageError("--weights and --random-weights exclude each other", "give one of them")
    if request.weights is not None:
        return load_weights(module, request.weights, adapt, asked(request, size))
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
