"""Bring a module in memory to the worker processes: as a program of torch.export, in the run's own folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.made_with import WEIGHTS
from edgevit.core.settings.recipe import Recipe

_FIXED: Final = (*WEIGHTS, "num_classes", "model_arg")


def text_of(module: object) -> str:
    """The MODEL text of a module in memory, which reports, plans and messages call it by.

    Raises:
        InputError: it is no module that could be exported.
    """
    from edgevit.models._in_memory import class_of

    return f"module:{class_of(module)}"


def bring(module: object, recipe: Recipe, folder: Path) -> Recipe:
    """`recipe`, with a copy of the module exported to `folder`; the module itself stays as it is.

    The copy is in eval mode, on the CPU and in float32, as any model is here.

    Raises:
        UsageError: settings that would make another model of it, or nothing says how images are prepared.
        InputError: it cannot be copied, or gives what no model here may give, such as NaN.
        StepError: its forward pass fails on an image of this size.
        UnsupportedError: torch.export cannot trace it; names module and line.
    """
    import torch

    from edgevit.graph._refuse import explained
    from edgevit.models._in_memory import prepared, write_beside

    given = next((name for name in _FIXED if getattr(recipe, name) not in (None, {})), None)
    if given is not None:
        raise UsageError(
            f"{given} does not go with a module in memory, which has its weights and its head",
            f"leave {given} out, or name the model as text, such as python:FILE:FACTORY",
        )
    name = recipe.model.rpartition(".")[2]
    request = LoadRequest(
        recipe.model, name, image_size=recipe.image_size, preprocess=recipe.preprocess, needs_preprocess=True
    )
    model, beside = prepared(module, request)
    image = torch.zeros(1, beside.preprocess.channels, beside.preprocess.height, beside.preprocess.width)
    try:
        with torch.no_grad():
            program = torch.export.export(model.module, (image,), strict=False)
    except Exception as error:  # torch.export raises many unrelated classes for one reason
        raise explained(error, name, model.module) from error
    path = folder / "module.pt2"
    with storage_errors(path):
        torch.export.save(program, path)
        write_beside(path, beside)
    return replace(recipe, weights=path)
