"""What a file takes and gives, asked for and checked through the command line."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests._command import edgevit

NET = """
import torch

def gray():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 8, 8), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(32, 4)
    )
"""
MEAN, STD = 0.5, 0.25


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one channel as ONNX and TFLite files that take bytes, and a photograph in grey."""
    folder = tmp_path_factory.mktemp("ends")
    (folder / "net.py").write_text(NET)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(pixels).save(folder / "grey.png")
    done = edgevit(
        *("convert", f"python:{folder / 'net.py'}:gray", "--image-size", "16", "--preprocess", f"mean={MEAN}"),
        *("--preprocess", f"std={STD}", "--to", "onnx,tflite", "--precision", "fp32"),
        *("--option", "tflite.input=uint8", "--option", "onnx.input=uint8", "--option", "onnx.batch=2"),
        *("--option", "onnx.opset=18", "-o", folder / "out", "--json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [a["verdict"] for a in json.loads(done.stdout)["artifacts"]] == ["pass", "pass"]
    return folder


def wanted(place: Path) -> np.ndarray:
    """What PyTorch gives for the photograph, (1, 4)."""
    module = runpy.run_path(str(place / "net.py"))["gray"]()
    image = torch.from_numpy(np.asarray(Image.open(place / "grey.png"))).float()[None, None]
    with torch.no_grad():
        found: np.ndarray = module((image / 255 - MEAN) / STD).numpy()
    return found


def test_an_onnx_file_takes_two_images_of_bytes(place: Path) -> None:
    import onnx
    import onnxruntime

    path = place / "out" / "onnx" / "fp32" / "model.onnx"
    assert {entry.domain: entry.version for entry in onnx.load(path).opset_import}[""] == 18
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert (entry.type, entry.shape) == ("tensor(uint8)", [2, 16, 16, 1])
    image = np.asarray(Image.open(place / "grey.png"))[..., None]
    (found,) = session.run(None, {entry.name: np.stack([image, 255 - image])})
    np.testing.assert_allclose(found[:1], wanted(place), atol=1e-5)


def test_a_tflite_file_takes_the_bytes_of_the_camera(place: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(place / "out" / "tflite" / "fp32" / "model.tflite"))
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (entry["dtype"], entry["shape"].tolist()) == (np.uint8, [1, 16, 16, 1])
    interpreter.set_tensor(entry["index"], np.asarray(Image.open(place / "grey.png"))[None, ..., None])
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(result["index"]), wanted(place), atol=1e-5)


@pytest.mark.parametrize("file", ["onnx/fp32/model.onnx", "tflite/fp32/model.tflite"])
def test_run_feeds_what_the_file_takes(file: str, place: Path) -> None:
    done = edgevit("run", place / "out" / file, place / "grey.png", "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["images"]
    assert told["classes"][0]["index"] == int(wanted(place).argmax())


def test_an_option_that_cannot_be_is_refused_by_the_dry_run_too() -> None:
    for asked in ((), ("--dry-run",)):
        given = ("--precision", "w4", "--to", "onnx", "--option", "onnx.opset=18", *asked)
        done = edgevit("convert", "demo", *given)
        assert done.returncode in (2, 3) and "21" in done.stderr and done.stdout == "", done.stderr
