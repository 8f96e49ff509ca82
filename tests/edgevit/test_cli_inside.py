"""What models do inside, through the command line: branches that are fused, images that are resized, nested outputs."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from tests._command import edgevit

NET = """
import torch
from timm.models.byobnet import MobileOneBlock

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.block = MobileOneBlock(8, 8, num_conv_branches=3)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, image):
        small = torch.nn.functional.interpolate(image, (12, 20), mode="bicubic", antialias=True)
        tokens = self.block(self.stem(small))
        large = torch.nn.functional.interpolate(tokens, scale_factor=2, mode="bilinear", align_corners=True)
        return {"logits": self.head(large.mean((2, 3))), "maps": [tokens, None, large]}
"""


def test_blocks_are_fused_images_resized_and_outputs_named_as_in_pytorch(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    out = tmp_path / "out"
    done = edgevit(
        *("convert", f"python:{tmp_path}/net.py:Net", "--random-weights", "0", "--image-size", "16"),
        *("--preprocess", "normalize=0..1", "--to", "onnx", "--precision", "fp32", "-o", out),
    )
    assert done.returncode == 0, done.stderr
    note = "note: fused before the export by the model's own code: 1 MobileOneBlock"
    assert note in " ".join((done.stdout + done.stderr).split())
    report = json.loads((out / "report.json").read_text())
    assert report["rewrites"][0] == "reparameterize" and "MobileOneBlock" in report["notes"][0]
    assert "1 MobileOneBlock" in (out / "report.html").read_text()
    assert report["artifacts"][0]["total"]["sqnr_db"] > 100  # against the model with its branches
    graph = onnx.load(out / "onnx/fp32/model.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("Conv") == 2
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output}
    assert shapes == {"logits": [1, 5], "maps_0": [1, 8, 6, 10], "maps_2": [1, 8, 12, 20]}
