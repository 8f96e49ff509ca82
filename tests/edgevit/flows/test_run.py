"""`edgevit run` and `edgevit profile` on converted files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from edgevit.core.errors import InputError
from edgevit.core.settings.recipe import Recipe
from edgevit.flows.run import run
from tests._command import edgevit
from tests.edgevit.flows import _hybrid
from tests.edgevit.flows._converted import Converted
from tests.edgevit.flows._hybrid import ASSETS


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four images of the demo as PNG files."""
    folder = tmp_path_factory.mktemp("pictures")
    with np.load(ASSETS / "evaluation.npz") as stored:
        for index, image in enumerate(stored["images"][:4]):
            Image.fromarray(image).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(pictures: list[Path]) -> np.ndarray:
    """The hybrid's logits from timm and PyTorch alone, (4, 10)."""
    size, mean, std = (3, _hybrid.SIZE, _hybrid.SIZE), _hybrid.MEAN, _hybrid.STD
    transform = create_transform(
        size, is_training=False, mean=mean, std=std, interpolation="bicubic", crop_pct=1.0
    )
    with torch.no_grad():
        return _hybrid.hybrid()(torch.stack([transform(Image.open(picture)) for picture in pictures])).numpy()


@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
def test_file_names_the_class_that_pytorch_names(
    target: str, hybrid: Converted, pictures: list[Path], expected: np.ndarray
) -> None:
    done = edgevit("run", hybrid.file(target, "fp16"), *pictures, "--top", "10", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["images"]
    names = (ASSETS / "labels.txt").read_text().split("\n")
    for picture, wanted, told in zip(pictures, expected, found, strict=True):
        assert told["path"] == str(picture)
        assert told["classes"][0]["label"] == names[wanted.argmax()]
        logits = np.array([entry["logit"] for entry in sorted(told["classes"], key=lambda e: e["index"])])
        assert 10 * np.log10(np.square(wanted).sum() / np.square(wanted - logits).sum()) >= 40
        assert sum(entry["probability"] for entry in told["classes"]) == pytest.approx(1)


@pytest.mark.parametrize("target", ["onnx", pytest.param("tflite", marks=pytest.mark.family)])
def test_profile_gives_the_distribution_of_at_least_thirty_runs(target: str, hybrid: Converted) -> None:
    done = edgevit("profile", hybrid.file(target, "w8a8"), "--runs", "30", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    latency = told["latency"]
    assert latency["runs"] == len(told["runs_ms"]) == 30
    assert latency["p50_ms"] == pytest.approx(np.median(told["runs_ms"]))
    assert 0 < latency["p50_ms"] <= latency["p90_ms"] and latency["cold_load_ms"] > 0


def test_package_is_not_timed_where_its_time_says_nothing(
    hybrid: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgevit.registries import RUNTIMES

    if RUNTIMES.get("coreml").unavailable() is None:  # a Mac: there it is timed
        assert edgevit("profile", hybrid.file("coreml", "w8a8"), "--runs", "30").returncode == 0
        return
    done = edgevit("profile", hybrid.file("coreml", "w8a8"), "--runs", "30", "--json")
    assert done.returncode == 3
    assert "coreml" in json.loads(done.stdout)["error"]["message"]


def test_a_bundle_or_a_folder_of_images_is_named_before_any_work(
    pictures: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.touch()
    recipe = Recipe(model=str(file))
    with pytest.raises(InputError, match="is a folder, not an image") as caught:
        run(file, (pictures[0].parent,), 5, recipe)
    assert f"{pictures[0].parent}/*.jpg" in caught.value.hint
    bundle = tmp_path / "bundle"
    for name in ("fp16", "w8"):
        (bundle / "onnx" / name).mkdir(parents=True)
        (bundle / "onnx" / name / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="is a bundle of 2 files") as caught:
        run(bundle, tuple(pictures), 5, recipe)
    assert str(bundle / "onnx" / "fp16" / "model.onnx") in caught.value.hint
    for folder, files in (("onnx", ("fp16", "w8")), ("onnx/w8", ("w8",))):
        with pytest.raises(InputError, match=f"{folder} is a folder and no bundle") as caught:
            run(bundle / folder, tuple(pictures), 5, recipe)
        assert all(str(bundle / "onnx" / name / "model.onnx") in caught.value.hint for name in files)
