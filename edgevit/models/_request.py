"""What the sources make of the flags they share."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.models._random import randomise
from edgevit.models._weights import Adapt, check_finite, load_weights

if TYPE_CHECKING:
    import torch


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
) -> bool:
    """Apply `--weights` or `--random-weights`; False if neither was given.

    Raises:
        UsageError: both were given.
        InputError: the file does not fit; see `load_weights`.
    """
    if request.weights is not None and request.random_weights is not None:
        raise UsageError("--weights and --random-weights exclude each other", "give one of them")
    if request.weights is not None:
        load_weights(module, request.weights, adapt)
        return True
    if request.random_weights is not None:
        randomise(module, request.random_weights, size)
        check_finite(module, "the random weights")
        return True
    return False


def refuse(request: LoadRequest, reason: str, *flags: str) -> None:
    """Refuse flags that a source can do nothing with.

    Raises:
        UsageError: one of `flags` (names of LoadRequest's attributes) was given.
    """
    for flag in flags:
        if getattr(request, flag) not in (None, {}, ()):
            option = "--model-arg" if flag == "model_args" else "--" + flag.replace("_", "-")
            raise UsageError(f"{option} does not apply to {request.source}: {reason}", f"leave out {option}")
