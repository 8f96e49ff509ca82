"""Several outputs: kept by name, and each of them counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgevit.steps import named_outputs
from tests._command import edgevit

TWO_HEADS = """
import torch


class TwoHeads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 4, 4)
        self.first, self.second = torch.nn.Linear(8, 5), torch.nn.Linear(8, 3)

    def forward(self, image):
        pooled = self.stem(image).mean((2, 3))
        return self.first(pooled), self.second(pooled)


def make():
    return TwoHeads()
"""


def test_outputs_keep_their_names_and_order_in_a_file(tmp_path: Path) -> None:
    given = {"logits": np.ones((2, 3), np.float32), "boxes": np.zeros((2, 4, 4), np.float32)}
    named_outputs.save(tmp_path / "file.npz", given)
    found = named_outputs.load(tmp_path / "file.npz")
    assert list(found) == ["logits", "boxes"] and all((found[name] == given[name]).all() for name in given)
    assert named_outputs.first(found).shape == (2, 3)


def test_the_worst_output_counts() -> None:
    reference = {"a": np.full((1, 4), 10, np.float32), "b": np.full((1, 2, 2), 10, np.float32)}
    off = {"a": reference["a"] + 1, "b": reference["b"] + np.float32(0.1)}
    assert named_outputs.worst("sqnr", reference, off) == pytest.approx(20, abs=0.01)
    assert named_outputs.worst("max_abs", reference, off) == pytest.approx(1)
    swapped = {"a": reference["a"] + np.float32(0.1), "b": reference["b"] + 1}
    assert named_outputs.worst("sqnr", reference, swapped) == pytest.approx(20, abs=0.01)


@pytest.mark.family  # a whole conversion; two outputs are judged by test_cli_heads.py, too
def test_two_outputs_stay_two_named_outputs_and_both_are_held_against_the_model(tmp_path: Path) -> None:
    (tmp_path / "heads.py").write_text(TWO_HEADS)
    out = tmp_path / "out"
    done = edgevit(
        *("convert", f"python:{tmp_path / 'heads.py'}:make", "--random-weights", "1", "--image-size", "16"),
        *("--to", "onnx", "--precision", "w8", "--preprocess", "normalize=0..1", "-o", out, "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert [artifact["verdict"] for artifact in json.loads(done.stdout)["artifacts"]] == ["pass"]
    model = onnx.load(out / "onnx/w8/model.onnx")
    assert len(model.graph.output) == 2
