"""Preprocessing that timm's train.py was given, as its checkpoints keep it; timm's own reading is the oracle."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from edgevit.core.errors import InputError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.models._preprocess import from_timm
from edgevit.models.timm import load

NAME = "test_efficientnet"
NONE = {
    "img_size": None,
    "input_size": None,
    "mean": None,
    "std": None,
    "interpolation": "",
    "crop_pct": None,
}


def saved(path: Path, arguments: object, name: str = NAME, **beside: object) -> Path:
    """What `timm.utils.CheckpointSaver` writes."""
    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    torch.save({"arch": name, "state_dict": state, "args": arguments, "version": 2, **beside}, path)
    return path


def loaded(path: Path, name: str = NAME, **asked: Any) -> TorchModel:
    return load(LoadRequest(f"timm:{name}", name, weights=path, **asked))


@pytest.mark.parametrize(
    "given",
    [
        {"mean": [0.5, 0.4, 0.3], "std": (0.2, 0.25, 0.3)},
        {"mean": [0.5], "std": [0.5]},
        {"img_size": 96, "crop_pct": 1.0, "interpolation": "bilinear"},
        {"input_size": [3, 64, 96]},
        {},
    ],
)
@pytest.mark.parametrize("form", [Namespace, dict])
def test_the_checkpoint_says_what_the_training_did(given: dict[str, Any], form: Any, tmp_path: Path) -> None:
    arguments = {**NONE, "lr": 0.1, **given}
    found = loaded(saved(tmp_path / "model_best.pth.tar", form(**arguments))).spec
    module = timm.create_model(NAME)
    assert found.preprocess == from_timm(timm.data.resolve_data_config(arguments, model=module), None)
    for name in given:
        assert name in found.preprocess_origin and "model_best.pth.tar" in found.preprocess_origin


def test_flags_win_and_an_architecture_of_one_size_keeps_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth.tar", Namespace(**{**NONE, "img_size": 96, "mean": [0.1, 0.2, 0.3]}))
    preprocess = {"mean": "0.5,0.5,0.5"}
    found = loaded(path, image_size=(64, 64), preprocess=preprocess).spec
    assert (found.preprocess.height, found.preprocess.mean) == (64, (0.5, 0.5, 0.5))
    fixed = saved(tmp_path / "b.pth.tar", Namespace(**{**NONE, "img_size": 96, "std": [0.5]}), "test_vit")
    found = loaded(fixed, "test_vit").spec
    assert found.preprocess.height == 160 and found.preprocess.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "bad",
    [
        *({"mean": "red"}, {"mean": [0.5, 0.5]}, {"std": [float("nan")]}, {"std": [0.0]}, {"std": []}),
        *(
            {"img_size": -1},
            {"img_size": 96.0},
            {"input_size": [3, 64]},
            {"crop_pct": True},
            {"in_chans": "3"},
        ),
    ],
)
def test_values_that_no_training_had_are_refused(bad: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path / "model_best.pth.tar", Namespace(**{**NONE, **bad}))
    with pytest.raises(InputError, match=f"args.{next(iter(bad))} in .*model_best.pth.tar is "):
        loaded(path)


def test_one_number_stands_for_as_many_channels_as_the_training_had(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model(NAME, in_chans=1)
    arguments = {**NONE, "in_chans": 1, "mean": [0.3], "std": [0.2]}
    path = tmp_path / "grey.pth.tar"
    torch.save({"arch": NAME, "state_dict": module.state_dict(), "args": Namespace(**arguments)}, path)
    found = loaded(path, model_args={"in_chans": "1"}).spec
    assert (found.preprocess.mean, found.preprocess.std, found.preprocess.color) == ((0.3,), (0.2,), "gray")


def test_arguments_of_another_script_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"model": timm.create_model(NAME).state_dict(), "args": Namespace(mean="arithmetic")}, path)
    assert "holds none" in loaded(path).spec.preprocess_origin
