"""What the user asked for, from flags, a TOML file, or both; flags win.

A recipe file has the names of the flags as keys (`image-size`, `calibration-count`), and each value
either as the flag writes it or as TOML's own type: `to = "onnx,tflite"` or `to = ["onnx", "tflite"]`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Final

from edgevit.core.disk.documents import read_toml
from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import InputError, UsageError, nearest
from edgevit.core.precisions import Precision
from edgevit.core.process.scratch import is_scratch
from edgevit.core.settings.hints import precision_hint
from edgevit.core.settings.made_with import REMEMBERED, WEIGHTS, remembered
from edgevit.core.settings.parse import (
    parse_amounts,
    parse_image_size,
    parse_list,
    parse_options,
    parse_pairs,
)

PREPROCESS_KEYS: Final = (
    "resize",
    "crop_pct",
    "interpolation",
    "mean",
    "std",
    "color",
    "normalize",
    "orient",
)
# What a file can be fed otherwise: the images are cropped once for all.
FILE_PREPROCESS_KEYS: Final = ("mean", "std", "color", "normalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that `edgevit convert` can be told; the fields are its flags.

    Attributes:
        image_size: (height, width) in pixels, None for the model's own.
        model_arg, preprocess: keys and values as given, for the source to understand.
        labels: a file of class names; of several outputs by their names, that of the first perhaps as "".
        to: targets; empty for all.
        evaluate_count: None for all.
        prune: (method, fraction to remove), in order.
        option: (target, key, value).
        max_drop: percentage points; `min_agreement`: percent; `min_sqnr`: dB.
        jobs: targets converted side by side, 0 for as many as there are cores.
        threads: of one runtime, 0 for all cores.
        reconstruct: seconds for tuning the blocks of one plan, 0 for none.
        timeout: seconds per step; `max_memory`: GB per step.
    """

    model: str
    weights: Path | None = None
    weights_key: str | None = None
    random_weights: int | None = None
    num_classes: int | None = None
    image_size: tuple[int, int] | None = None
    model_arg: Mapping[str, str] = field(default_factory=dict)
    preprocess: Mapping[str, str] = field(default_factory=dict)
    labels: Path | Mapping[str, Path] | None = None
    to: tuple[str, ...] = ()
    precision: tuple[Precision, ...] = (Precision.FP16,)
    calibrate: str | None = None
    calibration_count: int = 128
    evaluate: str | None = None
    evaluate_count: int | None = None
    skip_bad_images: bool = False
    prune: tuple[tuple[str, float], ...] = ()
    max_drop: float | None = None
    min_agreement: float | None = None
    min_sqnr: float | None = None
    auto_float: bool = False
    reconstruct: float = 0.0
    plan: Path | None = None
    without: tuple[str, ...] = ()
    option: tuple[tuple[str, str, str], ...] = ()
    output: Path | None = None
    overwrite: bool = False
    jobs: int = 0
    threads: int = 0
    timeout: float = 3600.0
    max_memory: float = 8.0
    seed: int = 0
    dry_run: bool = False

    __pydantic_config__: ClassVar = {"extra": "forbid"}


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


def settings_to_remember(recipe: Recipe) -> dict[str, Any]:
    """What a plan keeps of the recipe that it was made by, as plain data; defaults are left out."""
    data = lasting(recipe)
    return {
        name: data[name] for name in REMEMBERED if name in data and getattr(recipe, name) != _default(name)
    }


def to_toml(recipe: Recipe) -> str:
    """The settings that differ from the defaults, as a recipe file."""
    lines = []
    for name, value in asdict(recipe).items():
        default = _default(name)
        if (value == default and name != "model") or name == "dry_run":
            continue  # a recipe says what is wanted, not that it was only asked about
        lines.append(f"{_flag(name)} = {_toml(name, value)}\n")
    return "".join(lines)


def save(recipe: Recipe, path: Path) -> None:
    """Write `recipe` so that `--recipe` reads the same one back.

    Raises:
        UsageError: a path or a text in it is no valid Unicode, which TOML cannot hold.
        StorageError: the disk is full or the place is read-only.
    """
    text = to_toml(recipe)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = next(line for line in text.splitlines() if text[error.start] in line)
        raise UsageError(
            f"--save-recipe {path}: TOML cannot hold {line!r}, which is no valid Unicode",
            "rename the file or folder, or leave --save-recipe out",
        ) from error
    write_atomic(path, text)


def as_json(recipe: Recipe) -> dict[str, Any]:
    """Plain data that crosses to a worker; `from_json` reads it back."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(recipe), default=str))
    return data


def lasting(recipe: Recipe) -> dict[str, Any]:
    """The same without files that are gone after the run: those of a module in memory and its labels."""
    gone = {
        e.name for e in fields(recipe) if isinstance(v := getattr(recipe, e.name), Path) and is_scratch(v)
    }
    return {name: value for name, value in as_json(recipe).items() if name not in gone}


def from_json(data: Mapping[str, Any]) -> Recipe:
    """Read what `as_json` gave."""
    return _validate(dict(data), None)


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != [] and value != ()


def _read(file: Path) -> dict[str, Any]:
    hint = "a recipe has the names of the flags as keys; --save-recipe FILE writes one"
    content = read_toml(file, "the recipe", hint)
    known = {_flag(entry.name): entry.name for entry in fields(Recipe)}
    zero = next((key for key, value in content.items() if any("\0" in text for text in _texts(value))), None)
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
            found[name] = read(f"--{_flag(name)}", _texts(found[name]))
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
    "labels": _labels,
    "model_arg": parse_pairs,
    "preprocess": _preprocess,
    "prune": parse_amounts,
    "option": parse_options,
}


def _texts(value: Any) -> list[str]:
    """A value as the flag's own texts: a table as KEY=VALUE, nested tables as A.B=VALUE."""
    if isinstance(value, Mapping):
        return [
            f"{key}.{text}" if isinstance(inner, Mapping) else f"{key}={','.join(_texts(inner))}"
            for key, inner in value.items()
            for text in (_texts(inner) if isinstance(inner, Mapping) else [""])
        ]
    if isinstance(value, list | tuple):
        return [_joined(entry) for entry in value]
    return [str(value)]


def _joined(entry: Any) -> str:
    """("mlp", 0.25) as mlp=0.25 and ("onnx", "opset", "20") as onnx.opset=20."""
    if not isinstance(entry, list | tuple):
        return str(entry)
    *names, value = map(str, entry)
    return f"{'.'.join(names)}={value}"


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
        message = f"{where}--{_flag(name)} {first['input']!r}: {first['msg'].lower()}"
        kind = InputError if file else UsageError
        if first["type"] == "unexpected_keyword_argument":
            raise kind(
                f"{where}unknown setting {name!r}", nearest(name, [f.name for f in fields(Recipe)])
            ) from error
        raise kind(message, "see edgevit convert --help") from error


def _check(recipe: Recipe) -> Recipe:
    if recipe.weights is not None and recipe.random_weights is not None:
        raise UsageError("--weights and --random-weights were both given", "give one of them")
    if recipe.weights_key is not None and recipe.weights is None:
        raise UsageError(
            f"--weights-key {recipe.weights_key} was given without --weights", "give --weights FILE too"
        )
    source = recipe.model.partition(":")[0]
    if recipe.num_classes == 0 and source not in _HEADLESS:
        raise UsageError(
            f"--num-classes 0 leaves the head out of models of {' and '.join(_HEADLESS)}, not of {source}",
            "give the number of classes, or leave it out",
        )
    for name, (low, high, unit) in _RANGES.items():
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise UsageError(
                f"--{_flag(name)} {value:g} is out of range", f"give {unit} from {low:g} to {high:g}"
            )
    return recipe


_HEADLESS: Final = ("timm", "python")  # sources that make a model without classes
_RANGES: Final[Mapping[str, tuple[float, float, str]]] = {
    "num_classes": (0, 1e6, "a number of classes"),
    "random_weights": (0, 2**63 - 1, "a seed"),
    "calibration_count": (1, 1e6, "a number of images"),
    "evaluate_count": (1, 1e9, "a number of images"),
    "reconstruct": (0, 1e6, "seconds"),
    "max_drop": (0, 100, "percentage points"),
    "min_agreement": (0, 100, "percent"),
    "min_sqnr": (-200, 400, "dB"),
    "jobs": (0, 1024, "a number of processes (0: one per core)"),
    "threads": (0, 1024, "a number of threads (0: one per core)"),
    "timeout": (1, 1e7, "seconds"),
    "max_memory": (0.1, 1e5, "GB"),
    "seed": (0, 2**63 - 1, "a seed"),
}


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _default(name: str) -> object:
    entry = next(f for f in fields(Recipe) if f.name == name)
    return {} if entry.default_factory is dict else entry.default


def _toml(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_string(k)} = {_string(str(v))}" for k, v in value.items()) + " }"
    if isinstance(value, tuple):
        entries = value if name == "image_size" else tuple(map(_joined, value))
        return "[" + ", ".join(str(e) if isinstance(e, int) else _string(e) for e in entries) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, once DEL, which only TOML forbids, is escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
