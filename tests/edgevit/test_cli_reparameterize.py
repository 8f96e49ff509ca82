"""Branches that a model fuses itself, through the command line: told, fewer layers in the file, the same outputs."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from tests._command import edgevit

NET = """
import torch
from timm.models.byobnet import MobileOneBlock

def net():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1), MobileOneBlock(8, 8, num_conv_branches=3), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(8, 5))
"""


def test_the_file_has_one_convolution_for_each_block(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    out = tmp_path / "out"
    done = edgevit(
        *("convert", f"python:{tmp_path}/net.py:net", "--random-weights", "0", "--image-size", "16"),
        *("--preprocess", "normalize=0..1", "--to", "onnx", "--precision", "fp32", "-o", out),
    )
    assert done.returncode == 0, done.stderr
    note = "note: fused before the export by the model's own code: 1 MobileOneBlock"
    assert note in " ".join((done.stdout + done.stderr).split())
    report = json.loads((out / "report.json").read_text())
    assert report["rewrites"][0] == "reparameterize" and "MobileOneBlock" in report["notes"][0]
    assert "1 MobileOneBlock" in (out / "report.html").read_text()
    assert report["artifacts"][0]["total"]["sqnr_db"] > 100  # against the model with its branches
    operators = [node.op_type for node in onnx.load(out / "onnx/fp32/model.onnx").graph.node]
    assert operators.count("Conv") == 2
