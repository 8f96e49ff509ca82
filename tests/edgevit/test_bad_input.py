"""Bad input through the command line: one clear message that names the culprit, and nothing is lost."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests._command import edgevit, without_progress

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Linear(8, 3)

    def forward(self, image):
        return self.head(torch.nn.functional.gelu(self.stem(image)).mean((2, 3)))
"""


class Place:
    """A model, a place for images, and an output that holds an earlier result."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.out = folder, folder / "images", folder / "out"
        (folder / "net.py").write_text(NET)
        for made in (self.images, self.out, folder / "scratch"):
            made.mkdir()
        (self.out / "report.json").write_text("earlier")
        self.model = f"python:{folder / 'net.py'}:Net"

    def add_image(self, name: str, seed: int = 0) -> Path:
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(path)
        return path

    def convert(
        self, *flags: str | Path, model: str | None = None, onto: str = "out"
    ) -> subprocess.CompletedProcess[str]:
        given = (model or self.model, "--image-size", "32", "--preprocess", "normalize=imagenet")
        given = (*given, "--to", "onnx", "--precision", "fp32")
        seeded = () if "--weights" in flags else ("--random-weights", "0")
        where = ("-o", self.folder / onto, "--overwrite")
        return edgevit("convert", *given, *seeded, *flags, *where, TMPDIR=self.folder / "scratch")

    def refuses(
        self, code: int, *words: str, flags: tuple[str | Path, ...] = (), model: str | None = None
    ) -> None:
        done = self.convert(*flags, model=model)
        assert done.returncode == code, done.stderr
        assert done.stdout == "" and "Traceback" not in done.stderr
        assert without_progress(done.stderr).startswith("error: ") and done.stderr.count("error: ") == 1
        for word in words:
            assert word in done.stderr
        self.assert_nothing_lost()

    def assert_nothing_lost(self) -> None:
        assert [path.name for path in self.out.iterdir()] == ["report.json"]
        assert (self.out / "report.json").read_text() == "earlier"
        assert list((self.folder / "scratch").iterdir()) == []
        assert [path.name for path in self.folder.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def missing(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def truncated(path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path, "jpeg")
    path.write_bytes(path.read_bytes()[:300])


def no_image(path: Path) -> None:
    path.write_text("a shopping list")


def bomb(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "does not exist"),
        pytest.param(truncated, "damaged", marks=pytest.mark.family),
        (no_image, "not an image"),
        pytest.param(bomb, "decompress", marks=pytest.mark.family),
    ],
)
def test_bad_file_among_the_images_is_named(spoil: Callable[[Path], None], words: str, place: Place) -> None:
    place.add_image("a.png")
    spoil(place.images / "b.jpg")
    place.refuses(2, "b.jpg", words, "--skip-bad-images", flags=("--evaluate", place.images))


def test_bad_files_are_left_out_on_request_counted_and_named(place: Place) -> None:
    place.add_image("a.png", 1)
    place.add_image("z.png", 2)
    for index, spoil in enumerate((missing, truncated, no_image, bomb)):
        spoil(place.images / f"bad-{index}.jpg")
    done = place.convert("--evaluate", place.images, "--skip-bad-images", "--json", onto="new")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["samples"]["evaluate"]["count"] == 2
    assert report["samples"]["evaluate"]["skipped"] == [f"bad-{index}.jpg" for index in range(4)]
    for index in range(4):
        assert any(f"bad-{index}.jpg" in warning for warning in report["warnings"])
    assert "bad-2.jpg" in (place.folder / "new" / "report.html").read_text()


def test_empty_folder_is_named(place: Place) -> None:
    place.refuses(2, str(place.images), "no images", flags=("--evaluate", place.images))


def test_class_folder_that_is_no_label_is_named_with_the_nearest(place: Place) -> None:
    place.add_image("dogg/a.png")
    (place.folder / "labels.txt").write_text("cat\ndog\nfish\n")
    flags = ("--labels", place.folder / "labels.txt", "--evaluate", place.images)
    place.refuses(2, "'dogg'", "did you mean dog", flags=flags)


def test_labels_of_another_number_than_the_classes_are_refused(place: Place) -> None:
    (place.folder / "labels.txt").write_text("cat\ndog\n")
    place.refuses(2, "2", "3", "label", flags=("--labels", place.folder / "labels.txt"))


def state() -> dict[str, torch.Tensor]:
    made = {"stem": torch.nn.Conv2d(3, 8, 8, 8), "head": torch.nn.Linear(8, 3)}
    return {f"{n}.{k}": v.detach() for n, module in made.items() for k, v in module.state_dict().items()}


def test_weights_for_another_architecture_are_refused_by_their_keys(place: Place) -> None:
    other = state()
    other["tail.weight"], other["stem.weight"] = other.pop("head.weight"), torch.zeros(8, 3, 4, 4)
    save_file(other, place.folder / "w.safetensors")
    words = ("w.safetensors", "another architecture", "head.weight", "tail.weight", "stem.weight")
    place.refuses(2, *words, flags=("--weights", place.folder / "w.safetensors"))


def test_nan_in_the_weights_is_refused_by_name(place: Place) -> None:
    wrong = state()
    wrong["head.bias"][1] = float("nan")
    save_file(wrong, place.folder / "w.safetensors")
    place.refuses(2, "w.safetensors", "NaN", "head.bias", flags=("--weights", place.folder / "w.safetensors"))


class Malicious:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_pickle_that_wants_to_run_code_is_refused_and_not_run(form: str, place: Place) -> None:
    path, extra = place.folder / "w.pth", Malicious(place.folder / "ran")
    if form == "torch":
        torch.save({**state(), "extra": extra}, path)
    else:
        path.write_bytes(pickle.dumps({"extra": extra}))
    place.refuses(2, "w.pth", "mkdir", flags=("--weights", path))
    assert not (place.folder / "ran").exists()


def test_unknown_model_gets_the_nearest_names(place: Place) -> None:
    place.refuses(2, "vit_tny_patch16_224", "vit_tiny_patch16_224", model="timm:vit_tny_patch16_224")
