"""A Recipe as plain data: for workers, for the manifest, and for what a plan remembers."""

from __future__ import annotations

from pathlib import Path

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.process.scratch import is_scratch
from edgevit.core.settings.recipe import Recipe, all_settings, default_of


def as_json(recipe: Recipe) -> dict[str, object]:
    """All settings; `from_json` reads them back."""
    return to_plain(recipe)


def from_json(data: object) -> Recipe:
    """Read what `as_json` gave.

    Raises:
        InputError: a setting has the wrong type; the message names it.
    """
    return from_plain(Recipe, data, "recipe")


def lasting(recipe: Recipe) -> dict[str, object]:
    """The same without files that are gone after the run: those of a module in memory and its labels."""
    gone = {name for name in all_settings() if isinstance(v := getattr(recipe, name), Path) and is_scratch(v)}
    return {name: value for name, value in as_json(recipe).items() if name not in gone}


def settings_to_remember(recipe: Recipe) -> dict[str, object]:
    """What a plan keeps of the recipe that it was made by; defaults are left out."""
    data = lasting(recipe)
    return {
        name: data[name]
        for name, known in all_settings().items()
        if known.of_plan and name in data and getattr(recipe, name) != default_of(name)
    }
