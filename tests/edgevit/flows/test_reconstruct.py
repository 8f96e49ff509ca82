"""`--reconstruct` from the flags to the account of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.core.errors import UsageError
from edgevit.core.precisions import Precision
from edgevit.core.results.report import ArtifactReport, Reconstruction
from edgevit.flows import make_recipe as recipes
from edgevit.quant import plan_file
from edgevit.steps import messages
from edgevit.steps.resolve import resolve
from edgevit.validate.notes import notes
from tests.edgevit.flows._tiny import prepared, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("net"))


def test_the_better_plan_is_taken_and_the_account_says_what_was_done(model: Path, tmp_path: Path) -> None:
    (plain,) = prepared(model, tmp_path / "plain", precision="w4").simulated
    (done,) = prepared(model, tmp_path / "tuned", precision="w4", reconstruct=600).simulated
    told = done.reconstruction
    assert plain.reconstruction is None and told is not None
    assert told.blocks == told.tried > 1 and told.images == 8
    assert told.sqnr_after_db >= told.sqnr_before_db and (told.kept > 0) == (
        told.sqnr_after_db > told.sqnr_before_db
    )
    plans = [plan_file.load(tmp_path / name / messages.PLANS)[0] for name in ("plain", "tuned")]
    same = all(np.array_equal(plans[0].tensors[k], plans[1].tensors[k]) for k in plans[0].tensors)
    assert same == (told.kept == 0) and len(plans[0].sites) == len(plans[1].sites)


def test_too_few_images_are_told_with_the_number_that_is_needed(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs 16 calibration images"):
        prepared(model, tmp_path / "w", precision="w4", reconstruct=600, calibration_count=15)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"plan": "."}, "both given"),
        ({"calibrate": None, "precision": "w8"}, "on calibration images"),
        ({"precision": "fp16"}, "tunes quantized layers"),
        ({"reconstruct": -1}, "out of range"),
    ],
)
def test_what_it_needs_is_told_before_any_work(settings: dict[str, Any], words: str) -> None:
    given = {"model": "timm:vit_tiny_patch16_224", "calibrate": ".", "precision": "w4", "to": "onnx"}
    with pytest.raises(UsageError, match=words) as raised:
        resolve(recipes.make({**given, "reconstruct": 60, **settings}))
    assert raised.value.hint


def test_a_time_that_did_not_last_is_said() -> None:
    (text,) = notes(
        ArtifactReport("onnx", Precision.W4, reconstruction=Reconstruction(24, 20, 12, 16, 20.1, 21.4))
    )
    assert text.startswith("--reconstruct improved 12 of 24 blocks; time ran out before 4")
    assert text.endswith("On 16 held-out calibration images the simulated plan went from 20.1 to 21.4 dB.")
