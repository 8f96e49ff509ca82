"""A checked Recipe from flags or keyword arguments, a recipe file, and what a plan remembers; flags win.

A recipe file has the names of the flags as keys (`image-size`, `calibration-count`), and each value
either as the flag writes it or as TOML's own type: `to = "onnx,tflite"` or `to = ["onnx", "tflite"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edgevit.core.disk.documents import read_toml
from edgevit.core.errors import InputError, UsageError, nearest
from edgevit.core.precisions import Precision
from edgevit.core.settings.hints import precision_hint
from edgevit.core.settings.made_with import WEIGHTS
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.parse import (
    parse_amounts,
    parse_image_size,
    parse_list,
    parse_options,
    parse_pairs,
)
from edgevit.core.settings.recipe import PREPROCESS_KEYS, Recipe, all_settings
from edgevit.core.settings.setting import flag_of
from edgevit.core.settings.texts import texts
from edgevit.flows._from_plan import remembered
from edgevit.registries import SOURCES


def make(
    settings: Mapping[str, Any], file: Path | None = None, defaults: Mapping[str, Any] | None = None
) -> Recipe:
    """A checked Recipe from flags (or keyword arguments), on top of those of a recipe file and of a plan.

    Args:
        settings: by field name; None, an empty list and False mean "not given".
        file: a TOML file, whose settings lose against `settings`. Those that a plan was made with lose
            against both.
        defaults: of a command, where they are not those of a Recipe.

    Raises:
        InputError: the file is missing, no TOML, or has an unknown key or a wrong value.
        UsageError: the same for a flag, or flags that contradict each other.
    """
    given = {key: value for key, value in settings.items() if _is_given(value)}
    # Both places may name the model's weights in their own way; the flag's way is the one meant.
    from_file = {} if file is None else _read(file)
    if {"weights", "random_weights"} & set(given):
        from_file = {key: value for key, value in from_file.items() if key not in WEIGHTS}
    asked = {**from_file, **_normalise(given)}
    empty = next((key for key, value in asked.items() if value == "" and key != "model"), None)
    if empty is not None:
        raise UsageError(
            f"--{empty.replace('_', '-')} is empty",
            "give a value, or leave it out: is a variable of the shell unset?",
        )
    # Flags that do not go with a plan are told first, and then no plan is read.
    reads = asked.get("plan") and not (asked.get("auto_float") or asked.get("reconstruct"))
    kept = _of_plan(Path(asked["plan"]), asked) if reads else {}
    return _check(_validate({**_normalise(defaults or {}), **kept, **asked}, None))


def _of_plan(plan: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were not given, as they were when the plan was made."""
    kept = remembered(plan, asked)
    try:
        _check(_validate({"model": "demo", **kept}, None))
    except UsageError as error:
        raise InputError(
            f"{plan}: made_with: {error.message}", "keep `made_with` as it was written"
        ) from error
    return kept


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != [] and value != ()


def _read(file: Path) -> dict[str, Any]:
    hint = "a recipe has the names of the flags as keys; --save-recipe FILE writes one"
    content = read_toml(file, "the recipe", hint)
    known = {flag_of(name): name for name in all_settings()}
    zero = next((key for key, value in content.items() if any("\0" in text for text in texts(value))), None)
    if zero is not None:
        raise InputError(f"the recipe {file}: {zero} holds a zero byte", hint)
    for key in content:
        if key not in known:
            raise InputError(f"the recipe {file} has an unknown key {key!r}", nearest(key, known))
    try:
        settings = _normalise({known[key]: value for key, value in content.items()})
    except UsageError as error:
        raise InputError(f"the recipe {file}: {error.message}", error.hint) from error
    # The model may come from the command line, so the file alone need not be complete.
    _validate({"model": "demo", **settings}, file)
    return settings


def _normalise(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(settings)
    for name, read in _READERS.items():
        if name in found:
            found[name] = read(f"--{flag_of(name)}", texts(found[name]))
    return found


def _size(flag: str, texts: list[str]) -> tuple[int, int]:
    return parse_image_size(flag, "x".join(texts))


def _names(flag: str, texts: list[str]) -> tuple[str, ...]:
    return parse_list(flag, ",".join(texts))


def _precisions(flag: str, texts: list[str]) -> tuple[Precision, ...]:
    found = []
    for word in _names(flag, texts):
        precision = Precision.named(word)
        if precision is None:
            raise UsageError(f"unknown precision {word!r}", precision_hint(word))
        found.append(precision)
    return tuple(found)


def _preprocess(flag: str, texts: list[str]) -> dict[str, str]:
    return parse_pairs(flag, texts, PREPROCESS_KEYS)


def _labels(flag: str, texts: list[str]) -> Path | dict[str, Path]:
    """FILE as a path, and as soon as one output is named (HEAD=FILE), all by name; a file may have = in its name."""
    found: dict[str, Path] = {}
    for text in texts:
        head, equals, file = text.partition("=")
        if not equals or not (head.isidentifier() or not head) or (head and Path(text).exists()):
            head, file = "", text
        if head in found:
            what = f"names the labels of {head!r} twice" if head else "was given twice"
            raise UsageError(f"{flag} {what}", f"name the output of each file: {flag} HEAD=FILE")
        found[head] = Path(file)
    return found[""] if list(found) == [""] else found


_READERS: Final[Mapping[str, Callable[[str, list[str]], Any]]] = {
    "image_size": _size,
    "to": _names,
    "precision": _precisions,
    "without": _names,
    "lint": _names,
    "labels": _labels,
    "model_arg": parse_pairs,
    "preprocess": _preprocess,
    "prune": parse_amounts,
    "option": parse_options,
}


def _validate(settings: Mapping[str, Any], file: Path | None) -> Recipe:
    from pydantic import TypeAdapter, ValidationError

    where = f"the recipe {file}: " if file else ""
    if not settings.get("model"):
        raise UsageError("no MODEL was given", "name one, such as demo or timm:vit_tiny_patch16_224")
    try:
        return TypeAdapter(Recipe).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = f"{where}--{flag_of(name)} {first['input']!r}: {first['msg'].lower()}"
        kind = InputError if file else UsageError
        if first["type"] == "unexpected_keyword_argument":
            raise kind(f"{where}unknown setting {name!r}", nearest(name, all_settings())) from error
        raise kind(message, "see edgevit convert --help") from error


def _check(recipe: Recipe) -> Recipe:
    if recipe.weights is not None and recipe.random_weights is not None:
        raise UsageError("--weights and --random-weights were both given", "give one of them")
    if recipe.weights_key is not None and recipe.weights is None:
        raise UsageError(
            f"--weights-key {recipe.weights_key} was given without --weights", "give --weights FILE too"
        )
    if recipe.num_classes == 0:
        _check_headless(recipe.model)
    for name, known in all_settings().items():
        value = getattr(recipe, name)
        if known.within is None or value is None:
            continue
        low, high, unit = known.within
        if not low <= value <= high:
            raise UsageError(
                f"--{flag_of(name)} {value:g} is out of range", f"give {unit} from {low:g} to {high:g}"
            )
    return recipe


def _check_headless(model: str) -> None:
    source, _ = parse_source(model, SOURCES.names())
    if not SOURCES.get(source).headless:
        *others, last = sorted(name for name, known in SOURCES.usable().items() if known.headless)
        raise UsageError(
            f"--num-classes 0 leaves the head out of models of {', '.join(others)} and {last}, not of {source}",
            "give the number of classes, or leave it out",
        )
