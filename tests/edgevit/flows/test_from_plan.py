"""What a plan remembers of its making: given flags win, and what is not there is named with its flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.plain import settings_to_remember
from edgevit.flows import make_recipe as recipes


def plan(folder: Path, **settings: Any) -> str:
    made = {"settings": settings, "weights_sha256": "0" * 64, "calibration_digest": None}
    (folder / "plan.json").write_text(json.dumps({"schema_version": 2, "made_with": made, "plans": []}))
    return str(folder / "plan.json")


def test_a_recipe_goes_into_a_plan_and_comes_back(tmp_path: Path) -> None:
    """By the flags' own texts: what the plan of a run keeps makes the same recipe again."""
    (tmp_path / "w.safetensors").touch()
    (tmp_path / "l.txt").touch()
    flags = {
        "model": "timm:vit_tiny_patch16_224",
        "weights": str(tmp_path / "w.safetensors"),
        "labels": str(tmp_path / "l.txt"),
        "num_classes": 37,
        "image_size": "64x96",
        "model_arg": ["depth=2"],
        "preprocess": ["mean=0.5"],
        "to": "onnx,tflite",
        "precision": "fp16,w8a8",
        "calibrate": "demo",
        "calibration_count": 40,
        "evaluate": str(tmp_path),
        "prune": ["mlp=0.25"],
        "without": ["smooth_activations"],
        "option": ["onnx.opset=20", "onnx.saturation_free=true"],
        "seed": 7,
    }
    first = recipes.make({**flags, "max_drop": 1, "output": "out", "threads": 2})
    kept = settings_to_remember(first)
    assert set(kept) == set(flags)  # no limits, no output, nothing of this machine
    path = plan(tmp_path, **json.loads(json.dumps(kept)))
    again = recipes.make({"plan": path})
    assert settings_to_remember(again) == kept
    assert (again.image_size, again.option) == ((64, 96), first.option)
    assert recipes.make({"plan": str(tmp_path)}).seed == 7  # the folder of a bundle


def test_what_is_given_wins_and_another_model_takes_nothing_of_the_plans(tmp_path: Path) -> None:
    path = plan(tmp_path, model="timm:a", num_classes=37, random_weights=3, calibrate="demo", seed=7)
    given = recipes.make({"plan": path, "seed": 1, "precision": "w8"})
    assert (given.model, given.num_classes, given.seed, given.precision) == ("timm:a", 37, 1, ("w8",))
    other = recipes.make({"plan": path, "model": "timm:b"})
    assert (other.num_classes, other.random_weights, other.calibrate, other.seed) == (None, None, "demo", 7)
    weights = recipes.make({"plan": path, "weights": "w.safetensors"})
    assert (weights.random_weights, weights.num_classes) == (None, 37)
    (tmp_path / "r.toml").write_text("seed = 2\n")
    assert recipes.make({"plan": path}, tmp_path / "r.toml").seed == 2
    default = recipes.make({"plan": path}, defaults={"precision": "w8a8"})
    assert default.precision == ("w8a8",)


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("weights", "gone.safetensors", "--weights gone.safetensors"),
        ("labels", "gone.txt", "--labels gone.txt"),
        ("calibrate", "photos/train", "--calibrate photos/train"),
        ("evaluate", "val.npz", "--evaluate val.npz"),
        ("model", "net.pt2", "MODEL net.pt2"),
        ("model", "keras:net.keras", "MODEL keras:net.keras"),
        ("model", "hf:./mine", "MODEL hf:./mine"),
        ("model", "timm:local-dir:mine", "MODEL timm:local-dir:mine"),
    ],
)
def test_a_file_that_stayed_on_another_machine_is_named_with_the_flag_that_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = plan(tmp_path, **{"model": "demo", name: value})
    with pytest.raises(InputError) as raised:
        recipes.make({"plan": path})
    assert flag in raised.value.message and "is not here" in raised.value.message
    assert flag.split()[0] in raised.value.hint
    (tmp_path / "w").touch()
    assert recipes.make({"plan": path, name: "demo" if name == "model" else str(tmp_path / "w")})


@pytest.mark.parametrize("model", ["hf:google/vit-base", "timm:x", "timm:hf-hub:owner/x", "demo"])
def test_a_model_that_is_no_file_is_not_looked_for(tmp_path: Path, model: str) -> None:
    assert recipes.make({"plan": plan(tmp_path, model=model, calibrate="synthetic:8")}).model == model


@pytest.mark.parametrize("model", ["python:nets.py:net", "python:package.nets:net", " python:a:b"])
def test_a_plan_alone_runs_no_code(tmp_path: Path, model: str) -> None:
    path = plan(tmp_path, model=model, calibrate="synthetic:8", seed=7)
    with pytest.raises(UsageError, match="which is code"):
        recipes.make({"plan": path})
    assert recipes.make({"plan": path, "model": model}).seed == 7


def test_nonsense_in_a_plan_is_the_plans_error(tmp_path: Path) -> None:
    for settings in ({"seed": "many"}, {"overwrite": True}, {"seed": -1}, {"precision": 3}):
        with pytest.raises(InputError, match="made_with"):
            recipes.make({"plan": plan(tmp_path, model="demo", **settings)})
    (tmp_path / "plan.json").write_text('{"schema_version": 2, "made_with": [], "plans": []}')
    with pytest.raises(InputError, match="made_with holds no settings"):
        recipes.make({"plan": str(tmp_path)})
    (tmp_path / "plan.json").write_text("no json")
    with pytest.raises(InputError):
        recipes.make({"plan": str(tmp_path)})
    with pytest.raises(InputError, match="the plan .* does not exist"):
        recipes.make({"plan": str(tmp_path / "none.json")})
    (tmp_path / "plan.json").write_text('{"schema_version": 2, "plans": []}')  # as older ones are
    with pytest.raises(UsageError, match="no MODEL"):
        recipes.make({"plan": str(tmp_path)})
    assert recipes.make({"plan": str(tmp_path), "model": "demo"}).precision == ("fp16",)
