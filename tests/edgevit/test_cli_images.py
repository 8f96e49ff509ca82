"""Folders, labels and photos as people bring them, through the command line."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from edgevit.flows import make_recipe as recipes
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.rehearse import rehearse
from edgevit.steps.resolve import resolve
from tests._command import edgevit, without_progress

NET = """
import torch

class Net(torch.nn.Module):
    '''Answers by how bright the upper half is against the lower one.'''

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 3, (8, 16), (8, 16))
        self.head = torch.nn.Linear(6, 3)
        with torch.no_grad():
            self.stem.weight.fill_(1 / 384)
            self.head.weight.copy_(torch.tensor([[1., -1.] * 3, [-1., 1.] * 3, [0.] * 6]))
            self.head.bias.zero_()

    def forward(self, image):
        return self.head(self.stem(image).flatten(1))
"""
NAMES = ("위", "아래", "옆")  # above, below, aside


def photo(path: Path, orientation: int = 1) -> None:
    """Bright above, dark below, for whoever turns it as its EXIF orientation says."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 240
    if orientation == 3:
        pixels = pixels[::-1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/pets with train and val as a Mac names and leaves them; the labels as Keras writes them, in UTF-16."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "net.py").write_text(NET)
    for split in ("train", "val"):
        for name in (unicodedata.normalize("NFD", name) for name in NAMES):
            photo(folder / "data" / "pets" / split / name / "a.png")
            photo(folder / "data" / "pets" / split / name / "turned.png", 3)
            (folder / "data" / "pets" / split / name / ".DS_Store").write_bytes(b"x")
    (folder / "data" / "__MACOSX").mkdir()
    (folder / "class_indices.json").write_text(
        json.dumps({name: n for n, name in enumerate(NAMES)}), "utf-16"
    )
    return folder


def model(place: Path) -> tuple[str, ...]:
    given = (f"python:{place / 'net.py'}:Net", "--image-size", "16", "--preprocess", "normalize=0..1")
    return (*given, "--random-weights", "0", "--to", "onnx", "--precision", "fp32")


def test_a_photo_is_turned_in_the_report_in_the_file_and_by_run(place: Path) -> None:
    done = edgevit(
        *("convert", *model(place), "--preprocess", "orient=exif", "--labels", place / "class_indices.json"),
        *("--evaluate", place / "data", "-o", place / "out", "--json"),
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report["model"]["preprocess"]["orient"] == "exif" and report["model"]["labels"] == 3
    assert report["samples"]["evaluate"]["path"] == str(place / "data" / "pets" / "val")
    told = " ".join(report["warnings"])
    assert "pets/val: what is no image was left out" in told and ".DS_Store" in told
    assert "holds the splits train, val: val is taken" in told and "orientation" not in told
    path = place / "out" / "onnx" / "fp32" / "model.onnx"
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(metadata["edgevit.preprocess"])["orient"] == "exif"
    assert json.loads(metadata["edgevit.labels"]) == list(NAMES)
    assert "exif_transpose" in (place / "out" / "USAGE.md").read_text()
    photos = [next((place / "data" / "pets" / "val").iterdir()) / name for name in ("a.png", "turned.png")]
    answer = json.loads(edgevit("run", path, *photos, "--json").stdout)
    first, second = (image["classes"] for image in answer["images"])
    assert first == second and answer["warnings"] == []


def test_what_a_dry_run_says_of_photos_that_are_not_turned(place: Path) -> None:
    """The step of it that reads images, in this process."""
    images = str(place / "data" / "pets" / "val")
    settings = {
        "model": f"python:{place / 'net.py'}:Net",
        "random_weights": 0,
        "image_size": "16",
        "to": "onnx",
    }
    work = resolve(recipes.make({**settings, "precision": "fp32", "evaluate": images}))
    (place / "work").mkdir()
    done = rehearse(PrepareRequest(work=str(place / "work"), recipe=work.recipe), lambda event: None)
    told = " ".join(done.warnings)
    assert "EXIF orientation that is not applied" in told and "--preprocess orient=exif" in told


def test_folders_that_are_no_classes_end_it_before_any_work(place: Path) -> None:
    photo(place / "four" / "wolf" / "a.png")
    for name in NAMES:
        photo(place / "four" / name / "a.png")
    done = edgevit("convert", *model(place), "--evaluate", place / "four", "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert without_progress(done.stderr).startswith("error: ") and "bug" not in done.stderr
    assert (
        "4 class folders with images, but the model has 3 classes" in done.stderr
        and "--labels" in done.stderr
    )
