"""Files that other tools made: no metadata, weights in a second file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests._command import edgevit

FACTORY = """
import torch
def make(num_classes=10):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 8, 8), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(256, num_classes)
    )
"""

# Nothing else says how images are prepared for a module of one's own.
PLAIN = ("--preprocess", "normalize=0..1")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.py, and model.onnx as torch.onnx.export writes it, with model.onnx.data beside it."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "model.py").write_text(FACTORY)
    made: dict[str, object] = {}
    exec(FACTORY, made)
    module = made["make"]().eval()  # type: ignore[operator]
    torch.onnx.export(module, (torch.zeros(1, 3, 16, 32),), folder / "model.onnx", dynamo=True, verbose=False)
    assert (folder / "model.onnx.data").exists()
    return folder


def test_plain_export_of_pytorch_is_executed_timed_and_passes(exported: Path) -> None:
    done = edgevit(
        *("validate", exported / "model.onnx", "--reference", f"python:{exported / 'model.py'}:make"),
        *("--image-size", "16x32", "--evaluate", "synthetic:4", *PLAIN, "--json"),
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["artifacts"]
    assert (found["precision"], found["verdict"]) == ("fp32", "pass")
    assert found["total"]["sqnr_db"] > 80 and found["latency"]["runs"] >= 30
    assert "nothing was written: --output DIR keeps" in done.stderr
    assert sorted(path.name for path in exported.iterdir() if path.suffix) == [
        "model.onnx",
        "model.onnx.data",
        "model.py",
    ]


def test_file_of_another_model_is_an_error_in_words(exported: Path) -> None:
    done = edgevit(
        *("validate", exported / "model.onnx", "--reference", f"python:{exported / 'model.py'}:make"),
        *("--num-classes", "7", "--image-size", "16x32", "--evaluate", "synthetic:4", *PLAIN, "--json"),
    )
    (found,) = json.loads(done.stdout)["artifacts"]
    assert done.returncode == 3 and found["verdict"] == "error"
    assert "logits of shape (10,), the float model (7,)" in found["reasons"][0]


def test_file_without_preprocessing_can_be_profiled_but_not_run_on_images(exported: Path) -> None:
    done = edgevit("profile", exported / "model.onnx", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["latency"]["runs"] == 1
    done = edgevit("run", exported / "model.onnx", exported / "any.png")
    assert done.returncode == 2 and "carries no preprocessing" in done.stderr
