"""Flags, keywords and what they say are those of Recipe's fields, which is the one list of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from types import ModuleType
from typing import Any

import pytest

import edgevit
from edgevit.commands import convert, diff, lint, profile, quantize, run, validate
from edgevit.commands import inspect as inspect_command
from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import UsageError
from edgevit.core.settings.recipe import Recipe, all_settings, settings_of
from edgevit.flows.make_recipe import make

COMMANDS: dict[str, ModuleType] = {
    "convert": convert,
    "quantize": quantize,
    "validate": validate,
    "diff": diff,
    "inspect": inspect_command,
    "profile": profile,
    "run": run,
    "lint": lint,
}
# Flags of their own, which take one value: of commands that execute files without a model.
OWN = {"profile": {"threads", "device"}, "run": {"threads"}}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_the_flags_of_its_settings(command: str) -> None:
    flags = set(inspect.signature(COMMANDS[command].command).parameters) & set(all_settings())
    own = {"model", *OWN.get(command, set())}
    assert flags - own == set(settings_of(command))


@pytest.mark.parametrize("command", ["convert", "quantize", "validate", "diff", "profile", "run", "lint"])
def test_a_function_has_the_keywords_of_its_settings(command: str) -> None:
    function: Callable[..., Any] = getattr(edgevit, command)
    keywords = set(inspect.signature(function).parameters) & set(all_settings())
    own = {"model", *OWN.get(command, set())}
    # A dry run answers something else than a conversion.
    assert keywords - own == set(settings_of(command)) - ({"dry_run"} if command == "convert" else set())


def test_a_keyword_that_there_is_not_is_a_type_error_with_the_nearest() -> None:
    with pytest.raises(
        TypeError, match=r"convert\(\) got an unexpected keyword argument 'precison'.*precision"
    ):
        edgevit.convert("demo", precison=["w8"])  # type: ignore[call-arg]


def test_every_setting_says_what_it_is() -> None:
    for name, known in all_settings().items():
        switch = next(f for f in fields(Recipe) if f.name == name).type == "bool"
        assert known.help.endswith((".", "...")) and bool(known.metavar) != switch, name
    assert [name for name, known in all_settings().items() if known.of_plan][:3] == [
        "model",
        "weights",
        "weights_key",
    ]


@pytest.mark.parametrize("name", [name for name, known in all_settings().items() if known.within])
def test_a_number_out_of_range_is_refused_by_its_flag(name: str) -> None:
    within = all_settings()[name].within
    assert within is not None
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} .* out of range"):
        make({"model": "demo", name: type(within[1])(2 * within[1] + 1)})


def test_a_recipe_crosses_to_a_worker_and_back() -> None:
    settings = {
        "model": "timm:x",
        "weights": "w.pth",
        "image_size": "64x96",
        "labels": ["=a.txt", "age=b.txt"],
        "prune": ["mlp=0.25"],
        "precision": "w8a8,fp16",
        "option": ["onnx.opset=20"],
        "min_sqnr": 20,
    }
    made = make(settings)
    assert from_plain(Recipe, to_plain(made), "recipe") == made
    one = make({**settings, "labels": ["a.txt"]})
    assert from_plain(Recipe, to_plain(one), "recipe") == one
