"""Green and wrong, through the command line: files and models whose output is not what argmax and softmax suppose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image

from tests._command import edgevit

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, columns=1, seed=0, bias=0.0, softmax=False):
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.head = torch.nn.Conv2d(3, 32, 8, 8), torch.nn.Linear(128, columns)
        with torch.no_grad():
            self.head.weight.mul_(5)
            self.head.bias.fill_(bias)
        self.softmax = softmax

    def forward(self, image):
        found = self.head(torch.nn.functional.gelu(self.stem(image)).flatten(1))
        return found.softmax(-1) if self.softmax else found

def one():
    return Net(bias=20.0)

def other():
    return Net(seed=7, bias=30.0)

def three():
    return Net(columns=3)

def soft():
    return Net(columns=3, softmax=True)
"""
PLAIN = ("--preprocess", "normalize=0..1", "--image-size", "16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nets.py and twelve images."""
    root = tmp_path_factory.mktemp("outputs")
    (root / "nets.py").write_text(NETS)
    (root / "photos").mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    for index, pixels in enumerate(coarse):
        Image.fromarray(pixels).save(root / "photos" / f"{index}.png")
    return root


def made(name: str) -> Any:
    found: dict[str, Any] = {}
    exec(NETS, found)
    return found[name]().eval()


def validated(folder: Path, net: Any, against: str, *limits: str) -> tuple[int, dict[str, Any]]:
    """ONNX Runtime's own int8 file of `net` against the factory `against`: exit code and report."""
    options: dict[str, Any] = {"input_names": ["input"], "output_names": ["prob"], "dynamo": False}
    torch.onnx.export(net, (torch.zeros(1, 3, 16, 16),), folder / "float.onnx", **options)
    quantize_dynamic(folder / "float.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)
    model = ("--reference", f"python:{folder / 'nets.py'}:{against}", *PLAIN)
    done = edgevit(
        "validate", folder / "int8.onnx", *model, "--evaluate", folder / "photos", *limits, "--json"
    )
    return done.returncode, json.loads(done.stdout)


def test_other_weights_of_one_logit_are_not_green(folder: Path) -> None:
    """Both models say yes to every image, so that they agree on all of them."""
    code, report = validated(folder, made("other"), "one", "--min-agreement", "99")
    (found,) = report["artifacts"]
    assert code == 1 and report["model"]["output"] == {"task": "binary", "activation": "none"}
    assert found["accuracy"]["agreement"] == 100
    assert any("agreement shows nothing" in reason for reason in found["reasons"])
    assert any("fails below 10 dB" in reason for reason in found["reasons"])


def test_a_wrong_quantized_file_of_another_tool_fails_without_any_limit(folder: Path) -> None:
    """Colours exchanged, in another range: it is not the model any more."""
    wrong = made("three")
    with torch.no_grad():
        wrong.stem.weight.copy_(wrong.stem.weight.flip(1) * 0.3)
        wrong.stem.bias.add_(1)
    code, report = validated(folder, wrong, "three")
    (found,) = report["artifacts"]
    assert code == 1 and found["verdict"] == "fail" and found["total"]["sqnr_db"] < 10
    assert any("fails below 10 dB" in reason for reason in found["reasons"])
    assert any("--auto-float" in reason for reason in found["reasons"])


def test_a_softmax_inside_is_not_applied_again(folder: Path) -> None:
    model = f"python:{folder / 'nets.py'}:soft"
    done = edgevit("convert", model, *PLAIN, "--to", "onnx", "--precision", "fp32", "-o", folder / "soft")
    assert done.returncode == 0 and "its outputs are probabilities" in done.stdout, done.stderr
    picture = folder / "photos" / "0.png"
    run = edgevit("run", folder / "soft" / "onnx" / "fp32" / "model.onnx", picture, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    pixels = torch.from_numpy(np.asarray(Image.open(picture), np.float32)).permute(2, 0, 1) / 255
    with torch.no_grad():
        expected = made("soft")(pixels[None])[0].numpy()
    classes = sorted(told["images"][0]["classes"], key=lambda entry: entry["index"])
    np.testing.assert_allclose([entry["probability"] for entry in classes], expected, atol=1e-6)
    assert told["outputs_are"] == "probabilities" and classes[0]["logit"] is None
