"""Limits that no verdict could decide are told before anything is loaded, with what would decide them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevit import convert, validate
from edgevit.core.errors import UsageError
from edgevit.core.progress import Silent
from edgevit.flows import make_recipe as recipes
from edgevit.flows.quantize import quantize
from edgevit.steps.resolve import resolve
from edgevit.steps.undecidable_limits import check_limits
from tests._command import edgevit
from tests.edgevit.flows._tiny import prepared, write_model


def npz(path: Path, count: int, labelled: bool = True) -> str:
    arrays = {"images": np.zeros((count, 4, 4, 3), np.uint8)}
    np.savez(path, **arrays, **({"labels": np.zeros(count, np.int64)} if labelled else {}))
    return str(path)


def folders(root: Path, counts: tuple[int, ...]) -> str:
    """Class folders of files that nobody can decode: counting must not try."""
    for index, count in enumerate(counts):
        (root / f"class{index}").mkdir(parents=True)
        for number in range(count):
            (root / f"class{index}" / f"{number}.jpg").touch()
    return str(root)


def check(**settings: object) -> None:
    check_limits(recipes.make({"model": "timm:x", **settings}))


def test_a_limit_that_the_images_cannot_show_names_the_least_number_and_the_least_limit(
    tmp_path: Path,
) -> None:
    """539 and 1.34: Tango's bound without changed images, worked out by hand as z^2 (1 - d) / d with z = 1.6449."""
    with pytest.raises(UsageError) as raised:
        check(max_drop=0.5, evaluate=npz(tmp_path / "a.npz", 200))
    told = raised.value.message + raised.value.hint
    assert all(text in told for text in ("--max-drop 0.5", "200 images", "at least 539", "--max-drop 1.34"))
    check(max_drop=1.34, evaluate=str(tmp_path / "a.npz"))
    with pytest.raises(UsageError, match="1.33 cannot be shown on 200 images"):
        check(max_drop=1.33, evaluate=str(tmp_path / "a.npz"))


def test_images_are_counted_wherever_they_are(tmp_path: Path) -> None:
    check(max_drop=0.5, evaluate=npz(tmp_path / "a.npz", 539))
    for settings in (
        {"evaluate": npz(tmp_path / "b.npz", 538)},
        {"evaluate": str(tmp_path / "a.npz"), "evaluate_count": 538},
        {"evaluate": folders(tmp_path / "f", (300, 238))},
    ):
        with pytest.raises(UsageError, match="cannot be shown on 538 images"):
            check(max_drop=0.5, **settings)
    check(max_drop=0.5, evaluate=folders(tmp_path / "g", (300, 239)))
    check(max_drop=0.5, evaluate="demo")  # 2,000 images
    with pytest.raises(UsageError, match="on 100 images"):
        check(max_drop=0.5, evaluate="demo", evaluate_count=100)


def test_no_drop_at_all_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on any number of images") as raised:
        check(max_drop=0, evaluate=npz(tmp_path / "a.npz", 1000))
    assert "--max-drop 0.27 or more" in raised.value.hint  # 2.7055 / 1002.7055


def test_images_without_labels_and_no_images_at_all(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").touch()
    for evaluate in (str(tmp_path / "flat"), npz(tmp_path / "a.npz", 9000, labelled=False), "synthetic:9000"):
        with pytest.raises(UsageError, match="have no labels"):
            check(max_drop=0.5, evaluate=evaluate)
    with pytest.raises(UsageError, match="without labelled images"):
        check(max_drop=0.5)
    with pytest.raises(UsageError, match="--min-agreement 99 cannot be decided without images"):
        check(min_agreement=99)
    check(min_agreement=99.9, evaluate=str(tmp_path / "flat"))  # a share of what was seen: always decided
    check(min_sqnr=30)  # on synthetic images, if need be


def test_images_kept_apart_and_images_to_tune_on_are_counted_before_the_work(tmp_path: Path) -> None:
    few, plain = npz(tmp_path / "few.npz", 31), npz(tmp_path / "plain.npz", 64, labelled=False)
    tiny = npz(tmp_path / "tiny.npz", 15)
    asked = {"model": "timm:x", "precision": "w8a8", "auto_float": True, "min_sqnr": 30}
    with pytest.raises(UsageError, match="holds out 16 calibration images"):
        resolve(recipes.make({**asked, "calibrate": few}))
    with pytest.raises(UsageError, match="needs labels of the calibration images"):
        resolve(recipes.make({**asked, "calibrate": plain, "max_drop": 1}))
    with pytest.raises(UsageError, match="--reconstruct needs 16 calibration images"):
        resolve(recipes.make({"model": "timm:x", "precision": "w4", "reconstruct": 9, "calibrate": tiny}))
    with pytest.raises(UsageError, match="--prune mlp=0.25 needs images"):
        resolve(recipes.make({"model": "timm:x", "prune": "mlp=0.25"}))


@pytest.mark.parametrize("limit", [{"max_drop": 1}, {"min_agreement": 99}, {"min_sqnr": 30}])
def test_a_limit_that_a_plan_alone_cannot_be_held_against_is_no_flag_of_quantize(
    limit: dict[str, int],
) -> None:
    asked = recipes.make({"model": "timm:x", "precision": "w8a8", "calibrate": "demo", **limit})
    flag = next(iter(limit)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{flag} {next(iter(limit.values()))} would not be checked"):
        quantize(asked, Silent())


def test_labels_that_turn_out_not_to_be_the_models_are_told_once_it_is_loaded(tmp_path: Path) -> None:
    """The demo's images count as unlabelled for another model, which only the model can tell."""
    with pytest.raises(UsageError, match="--max-drop 50 needs labelled images"):
        prepared(write_model(tmp_path), tmp_path / "work", evaluate="demo", max_drop=50)


def test_the_command_line_and_the_functions_say_so_at_once(tmp_path: Path) -> None:
    images = npz(tmp_path / "a.npz", 200)
    missing = ("timm:vit_tiny_patch16_224", "--weights", tmp_path / "missing", "-o", tmp_path / "out")
    done = edgevit("convert", *missing, "--evaluate", images, "--max-drop", "0.5", "--json")
    assert done.returncode == 2
    assert "at least 539" in json.loads(done.stdout)["error"]["message"]
    before = "torch" in sys.modules
    with pytest.raises(UsageError, match="at least 539"):
        convert("timm:x", evaluate=images, max_drop=0.5, output=tmp_path / "out")
    (tmp_path / "a.onnx").write_bytes(b"never opened")
    with pytest.raises(UsageError, match="at least 539"):
        validate(tmp_path / "a.onnx", reference="timm:x", evaluate=images, max_drop=0.5)
    assert ("torch" in sys.modules) == before and not (tmp_path / "out").exists()
