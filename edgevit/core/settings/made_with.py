"""What a plan was made with, so that `--plan` needs no other flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import existing, is_there
from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import all_settings

# What says where the weights are from: one of them given anew, and none of the others holds any more.
WEIGHTS: Final = ("weights", "weights_key", "random_weights")
_FOLDER: Final = "local-dir:"  # in front of a folder of timm's
_WORDS: Final = ("demo", "synthetic")  # SAMPLES that are no path
PLAN_BYTES: Final = 256 << 20  # of plan.json: a scale for every channel takes room
PLAN_HINT: Final = (
    "give a plan.json with its plan.safetensors beside it, or the folder of both, such as a bundle"
)


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What `plan.json` says of its own making.

    Attributes:
        settings: flags by the names of a Recipe's fields, paths as they were given; what is not there was left to
            its default.
        weights_sha256: digest of the model's weights as it was loaded, before pruning.
        calibration_digest: of the calibration images, None without any.
    """

    settings: dict[str, object]
    weights_sha256: str
    calibration_digest: str | None


def _is_of_the_model(name: str) -> bool:
    """Whether a setting says which model it is; those of another model are none of the plan's."""
    return name != "model" and all_settings()[name].group == "Model"


def plan_file(path: Path) -> Path:
    """The plan.json that `--plan` means: a JSON file, or the folder that holds it."""
    return path if path.suffix == ".json" else path / "plan.json"


def read_made_with(path: Path) -> MadeWith | None:
    """What a plan says of its making; None if it does not.

    Raises:
        InputError: no plan there, or one that says it in another form.
    """
    where = plan_file(path)
    existing(path, "the plan", PLAN_HINT)
    found = read_json(where, "the plan", PLAN_HINT, PLAN_BYTES).get("made_with")
    if found is None:
        return None
    again = "keep `made_with` as it was written, or take it out and give all flags"
    settings = found.get("settings") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(settings, dict):
        raise InputError(f"{where}: made_with holds no settings", again)
    remembered = {name for name, known in all_settings().items() if known.of_plan}
    unknown = [name for name in settings if name not in remembered]
    if unknown:
        raise InputError(f"{where}: made_with has the unknown setting {unknown[0]!r}", again)
    weights, images = found.get("weights_sha256"), found.get("calibration_digest")
    if not isinstance(weights, str) or not (images is None or isinstance(images, str)):
        raise InputError(f"{where}: made_with holds no digests", again)
    return MadeWith(settings, weights, images)


def remembered(path: Path, given: Mapping[str, object]) -> dict[str, object]:
    """The settings that a plan was made with and that were not given anew.

    Of another model than the plan's, nothing is taken that belongs to a model.

    Args:
        path: `--plan`.
        given: settings from flags and a recipe file.

    Raises:
        InputError: no plan there, or a file that it was made with is not where it was.
        UsageError: the model is code, `python:`, which only the command line may name.
    """
    made = read_made_with(path)
    if made is None:
        return {}
    kept = {name: value for name, value in made.settings.items() if name not in given}
    if given.get("model", kept.get("model")) != made.settings.get("model"):
        kept = {name: value for name, value in kept.items() if not _is_of_the_model(name)}
    if {"weights", "random_weights"} & set(given):
        kept = {name: value for name, value in kept.items() if name not in WEIGHTS}
    source = parse_source(str(kept.get("model", "demo")))[0]
    if source == "module":
        raise UsageError(
            f"{plan_file(path)} was made with {kept['model']}, a module in the memory of a Python program",
            f"give it again there: edgevit.convert(module, plan={str(path)!r})",
        )
    if source == "python":
        raise UsageError(
            f"{plan_file(path)} was made with {kept['model']}, which is code; a plan alone does not run code",
            f"name it if you trust it: {kept['model']} --plan {path}",
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


def _missing(name: str, value: str) -> str | None:
    """The file that a setting names and that is not there."""
    if name in ("weights", "labels") or (
        name in ("calibrate", "evaluate") and value.partition(":")[0] not in _WORDS
    ):
        path = value
    elif name == "model":
        source, argument = parse_source(value)
        file = argument.rpartition(":")[0] if source == "python" else argument
        local = source in ("exported", "keras") or (source == "python" and file.endswith(".py"))
        # a repository of the hub is OWNER/NAME; anything else is a folder
        local = local or (
            source == "hf" and (argument.count("/") != 1 or argument.startswith((".", "/", "~")))
        )
        if source == "timm" and argument.startswith(_FOLDER):
            local, file = True, argument.removeprefix(_FOLDER)
        if not local:
            return None
        path = file
    else:
        return None
    return None if is_there(Path(path)) else path
