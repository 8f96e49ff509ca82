"""The settings that `--plan` brings along, so that it needs no other flag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgevit.core.disk.regular import is_there
from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.made_with import WEIGHTS, plan_file, read_made_with
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import all_settings
from edgevit.registries import SOURCES
from edgevit.steps.samples import samples_path


def remembered(path: Path, given: Mapping[str, object]) -> dict[str, object]:
    """The settings that a plan was made with and that were not given anew.

    Of another model than the plan's, nothing is taken that belongs to a model.

    Args:
        path: `--plan`.
        given: settings from flags and a recipe file.

    Raises:
        InputError: no plan there, or a file that it was made with is not where it was.
        UsageError: the model is one that a plan alone does not load, such as code.
    """
    made = read_made_with(path)
    if made is None:
        return {}
    kept = {name: value for name, value in made.settings.items() if name not in given}
    if given.get("model", kept.get("model")) != made.settings.get("model"):
        kept = {name: value for name, value in kept.items() if not _is_of_the_model(name)}
    if {"weights", "random_weights"} & set(given):
        kept = {name: value for name, value in kept.items() if name not in WEIGHTS}
    model = kept.get("model")
    refusal = None if model is None else SOURCES.get(_source(str(model))[0]).not_from_plan
    if refusal is not None:
        raise UsageError(
            f"{plan_file(path)} was made with {model}, {refusal.why}",
            refusal.hint.format(model=model, plan=str(path)),
        )
    for name, value in kept.items():
        values = value.values() if name == "labels" and isinstance(value, Mapping) else (value,)
        missing = next((m for v in values if (m := _missing(name, str(v))) is not None), None)
        if missing is not None:
            flag = "MODEL" if name == "model" else f"--{name}"
            raise InputError(
                f"{plan_file(path)} was made with {flag} {value}, and {missing} is not here",
                f"give {flag} anew, or run where the plan was made: paths stand in it as they were given",
            )
    return kept


def _is_of_the_model(name: str) -> bool:
    """Whether a setting says which model it is; those of another model are none of the plan's."""
    return name != "model" and all_settings()[name].group == "Model"


def _missing(name: str, value: str) -> Path | None:
    """The file that a setting names and that is not there."""
    path: Path | str | None = None
    if name in ("weights", "labels"):
        path = value
    elif name in ("calibrate", "evaluate"):
        path = samples_path(value)
    elif name == "model":
        source, argument = _source(value)
        path = SOURCES.get(source).path(argument)
    return None if path is None or is_there(Path(path)) else Path(path)


def _source(model: str) -> tuple[str, str]:
    return parse_source(model, SOURCES.names())
