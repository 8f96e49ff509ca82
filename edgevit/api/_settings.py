"""From the arguments of a function to a Recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgevit.core.settings.recipe import Recipe


@contextmanager
def recipe_of(model: object, settings: Mapping[str, object], **defaults: object) -> Iterator[Recipe]:
    """A checked Recipe; a module in memory and a list of labels are files in a private folder while it lasts.

    Args:
        model: a MODEL text or path, a module, or None for that of a plan.
        settings: by the names of a Recipe's fields.
        defaults: where they are not those of a Recipe.

    Raises:
        UsageError, InputError: as for a command, or a module that cannot be exported; what is raised while it lasts
            names keywords instead of flags.
    """
    from edgevit.api._wording import naming_keywords
    from edgevit.core.process.scratch import WORK, scratch
    from edgevit.core.settings.recipe import Recipe
    from edgevit.flows.in_memory import bring, text_of
    from edgevit.flows.make_recipe import make

    with naming_keywords([entry.name for entry in fields(Recipe)]), scratch(WORK) as folder:
        if model is None or isinstance(model, str | os.PathLike):
            text = None if model is None else os.fspath(model)
            yield make(_as_flags({**settings, "model": text}, folder), defaults=defaults)
        else:
            recipe = make(_as_flags({**settings, "model": text_of(model)}, folder), defaults=defaults)
            yield bring(model, recipe, folder)


def _as_flags(settings: Mapping[str, object], folder: Path) -> dict[str, object]:
    """Values as a command is given them: as text, or as a file."""
    found = dict(settings)
    for name in ("calibrate", "evaluate"):  # a SAMPLES text may also be a word such as `demo`
        if found.get(name) is not None:
            found[name] = path_of(
                found[name],
                name,
                "save arrays as numpy.savez('images.npz', images=uint8 (N, height, width, channels), labels=indices)",
            )
    arguments = found.get("model_arg")
    if isinstance(arguments, Mapping):
        given = arguments.items()
        found["model_arg"] = {key: text if isinstance(text, str) else repr(text) for key, text in given}
    labels = found.get("labels")
    if isinstance(labels, Mapping):
        found["labels"] = {head: _label_file(given, folder, head) for head, given in labels.items()}
    elif labels is not None:
        found["labels"] = _label_file(labels, folder, "labels")
    return found


def path_of(value: object, name: str, hint: str) -> str:
    """A text or path as text.

    Args:
        name: of the argument.
        hint: how what it stands for becomes a file.

    Raises:
        UsageError: anything else, such as an image or an array in memory.
    """
    from edgevit.core.errors import UsageError

    if isinstance(value, str | os.PathLike):
        return str(os.fspath(value))
    raise UsageError(f"{name} takes a path, not {type(value).__name__}", hint)


def _label_file(given: Any, folder: Path, name: str) -> Path:
    if isinstance(given, str | os.PathLike):
        return Path(given)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(list(given)), encoding="utf-8")
    return path
