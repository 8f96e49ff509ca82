"""A float model that knows nothing, through the command line: what is told, the verdict and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests._command import edgevit

# Minus the squared distance of the mean colour to red, green, blue and grey, without what all four have in common.
NETS = """
import torch
from torch import nn

class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)
        centres = torch.tensor([[.8, .2, .2], [.2, .8, .2], [.2, .2, .8], [.5, .5, .5]])
        with torch.no_grad():
            self.head.weight.copy_(2 * centres)
            self.head.bias.copy_(-(centres ** 2).sum(1))

    def forward(self, image):
        return self.head(image.mean((2, 3)))
"""
COLOURS = {"red": (204, 51, 51), "green": (51, 204, 51), "blue": (51, 51, 204), "grey": (128, 128, 128)}


def colours(tmp_path: Path) -> tuple[str, tuple[str | Path, ...]]:
    """The model, and flags that use it rightly on eight images of each class."""
    (tmp_path / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(8):
            pixels = rng.normal(colour, 20, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    (tmp_path / "labels.txt").write_text("\n".join(COLOURS))
    (tmp_path / "reversed.txt").write_text("\n".join(reversed(COLOURS)))
    model = f"python:{tmp_path / 'nets.py'}:Colours"
    used = ("--image-size", "16", "--preprocess", "normalize=0..1", "--evaluate", tmp_path / "images")
    return model, used


def test_reversed_labels_are_inconclusive(tmp_path: Path) -> None:
    model, used = colours(tmp_path)
    bundle = tmp_path / "bundle"
    labels = ("--labels", tmp_path / "reversed.txt")
    made = edgevit("convert", model, *used, *labels, "--to", "onnx", "--precision", "fp32", "-o", bundle)
    assert made.returncode == 4, made.stderr
    assert "WARNING: the float model itself is right on 0.00 % of 32 images" in made.stderr
    assert made.stderr.index("WARNING") < made.stderr.index("converting")
    assert "inconclusive: the float model itself has 0.00 % on these images" in made.stdout
    last, *_ = reversed(made.stdout.rstrip().splitlines())
    assert last.startswith("WARNING: with the labels in reverse order the float model is right on 100.00 %")
    assert "the model answers 'red' where the label is 'grey'" in last

    report = json.loads((bundle / "report.json").read_text())
    reference = report["reference"]
    assert reference["top1"] == 0.0 and reference["top1_ci95"][1] < reference["chance"] == 25.0
    assert [doubt["kind"] for doubt in reference["doubts"]] == ["no-better-than-guessing", "label-order"]
    assert {doubt["text"] for doubt in reference["doubts"]} <= set(report["warnings"])
    assert report["artifacts"][0]["verdict"] == "inconclusive"
    assert "in reverse order" in (bundle / "USAGE.md").read_text()


@pytest.mark.family  # in this process in steps/test_diagnose.py
def test_labels_in_their_right_order_raise_no_doubt(tmp_path: Path) -> None:
    model, used = colours(tmp_path)
    right = ("--labels", tmp_path / "labels.txt", "--to", "onnx", "--precision", "fp32", "--json")
    made = edgevit("convert", model, *used, *right, "-o", tmp_path / "bundle")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["reference"]["doubts"] == []
