"""What a user names is refused by kind before it is opened: a pipe would be waited for without end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from calibration.decode import decode
from calibration.samples.folder import open_folder
from calibration.samples.npy import open_npy
from calibration.samples.npz import open_npz
from edgevit.core.disk.regular import existing, regular_file
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import Head
from edgevit.core.settings.recipe_file import save
from edgevit.flows.make_recipe import make
from edgevit.flows.verify import verify
from edgevit.formats import tflite_file
from edgevit.formats.labels import read_labels
from edgevit.formats.mlpackage import check_package
from edgevit.models._checkpoint.files import read_contents
from edgevit.models._checkpoint.weights import load_weights
from edgevit.models._keras.file import check_keras
from edgevit.models._pt2.archive import clean_copy
from edgevit.models._repository import folder_files
from edgevit.models._user_code import import_place
from edgevit.quant import plan_file
from edgevit.report import json as report_json
from edgevit.runtimes._onnxruntime import session
from edgevit.steps.artifacts import find_artifacts
from edgevit.steps.resolve import resolve


def make_kinds(folder: Path) -> dict[str, Path]:
    """Something of every kind that is no plain file, and names that lead to nothing."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    (folder / "folder").mkdir()
    (folder / "to_pipe").symlink_to(folder / "pipe")
    (folder / "broken").symlink_to(folder / "nothing")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "file").write_text("x")
    return {
        "a pipe": folder / "pipe",
        "a pipe, not a file": folder / "to_pipe",
        "a socket": folder / "socket",
        "a folder": folder / "folder",
        "a device": Path("/dev/zero"),
        "the link leads to is missing": folder / "broken",
        "symbolic links": folder / "loop",
        "does not exist": folder / "file" / "below",
        "File name too long": folder / ("x" * 300),
        "not a path": Path("zero\0byte"),
    }


def test_each_kind_is_named(tmp_path: Path) -> None:
    for told, path in make_kinds(tmp_path).items():
        with pytest.raises(InputError, match=told):
            regular_file(path, "labels file")
    assert regular_file(tmp_path / "file", "labels file") == tmp_path / "file"
    assert existing(tmp_path / "folder", "artifact") == tmp_path / "folder"


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "recipe": ("r.toml", lambda path: make({"model": "demo"}, path)),
    "labels": ("labels.txt", read_labels),
    "safetensors": ("w.safetensors", read_contents),
    "checkpoint": ("w.pth", read_contents),
    "jax": ("w.npz", lambda path: load_weights(MagicMock(), path)),
    "plan": ("plan.json", plan_file.load),
    "plan before work": ("plan.json", lambda path: resolve(make({"model": "demo", "plan": path}))),
    "samples before work": ("images", lambda path: resolve(make({"model": "demo", "evaluate": str(path)}))),
    "artifact": ("model.onnx", find_artifacts),
    "onnx": ("model.onnx", session.read_model),
    "onnx session": ("model.onnx", lambda path: session.open_session(path, object(), path)),
    "tflite": ("model.tflite", tflite_file.read),
    "mlpackage": ("model.mlpackage", check_package),
    "pt2": ("model.pt2", lambda path: clean_copy(path, path.parent)),
    "keras": ("model.keras", check_keras),
    "python": ("net.py", lambda path: import_place(str(path))),
    "hf": ("folder", folder_files),
    "npz": ("images.npz", lambda path: open_npz(str(path), Head(), "evaluate")),
    "npy": ("images.npy", lambda path: open_npy(str(path), Head(), "evaluate")),
    "folder": ("images", lambda path: open_folder(str(path), Head(), "evaluate")),
    "image": ("image.png", decode),
    "report": ("report.json", report_json.read),
    "manifest": ("manifest.json", lambda path: verify(path.parent)),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_a_pipe_and_an_endless_device(name: str, tmp_path: Path) -> None:
    file, read = READERS[name]
    os.mkfifo(tmp_path / file)  # nobody writes into it: opening it would never return
    with pytest.raises(InputError):
        read(tmp_path / file)
    (tmp_path / file).unlink()
    (tmp_path / file).symlink_to("/dev/zero")
    with pytest.raises(InputError):
        read(tmp_path / file)


def test_a_pipe_inside_of_a_package_or_a_bundle_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "coreml" / "fp16" / "model.mlpackage"
    package.mkdir(parents=True)
    os.mkfifo(package / "Manifest.json")
    with pytest.raises(InputError, match=r"Manifest\.json is a pipe"):
        check_package(package)
    (tmp_path / "onnx" / "fp16").mkdir(parents=True)
    os.mkfifo(tmp_path / "onnx" / "fp16" / "model.onnx")
    with pytest.raises(InputError, match="pipe"):
        find_artifacts(tmp_path)


def test_a_pipe_among_images_is_left_out_like_any_bad_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    samples = open_folder(str(tmp_path), Head(), "evaluate")
    assert len(samples.digest()) == 64
    with pytest.raises(InputError, match="pipe"):
        samples.read(0)


def test_nothing_is_written_over_a_pipe_a_device_or_a_folder(tmp_path: Path) -> None:
    recipe = make({"model": "demo"})
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/full")):
        before = path.stat()
        with pytest.raises(UsageError, match="not a file"):
            save(recipe, path)
        assert (path.stat().st_mode, path.stat().st_ino) == (before.st_mode, before.st_ino)
