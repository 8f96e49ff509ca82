"""What a plan was made with, so that `--plan` needs no other flag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import existing
from edgevit.core.errors import InputError
from edgevit.core.settings.recipe import all_settings

# What says where the weights are from: one of them given anew, and none of the others holds any more.
WEIGHTS: Final = ("weights", "weights_key", "random_weights")
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
