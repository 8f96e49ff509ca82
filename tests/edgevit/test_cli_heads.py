"""A model with several heads through the command line: names, labels and accuracy of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from edgevit.core._plain import from_plain
from edgevit.core.results.outcomes import Outcomes, unpack, unpack_text
from edgevit.steps.classify import ClassifyRequest, classify
from tests._command import edgevit

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 16, 4, 4)
        self.shape, self.colour, self.lit = (torch.nn.Linear(16, n) for n in (3, 4, 1))

    def forward(self, image):
        x = self.stem(image).relu().mean((2, 3))
        heads = {"shape": 9 * self.shape(x), "colour": (9 * self.colour(x)).softmax(-1)}
        return {"embedding": x, "heads": heads, "lit": self.lit(x).sigmoid(), "loss": None}

def net():
    return Net().eval()
"""
NAMES = {
    "heads_colour": ["red", "green", "blue", "grey"],
    "heads_shape": ["disc", "star", "box"],
    "lit": ["dark", "lit"],
}


@pytest.mark.family
def test_each_head_has_its_names_and_its_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    given: list[str] = []
    for head, names in NAMES.items():
        (tmp_path / f"{head}.txt").write_text("\n".join(names))
        given += ["--labels", f"{head}={tmp_path / head}.txt"]
    scope: dict[str, Any] = {}
    exec(NETS, scope)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    with torch.no_grad():
        heads = scope["net"]()(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)["heads"]
    answers = {name: values.argmax(1).numpy() for name, values in heads.items()}
    labels = np.where(np.arange(40) % 10 == 0, (answers["shape"] + 1) % 3, answers["shape"])  # 90 % right
    np.savez(
        tmp_path / "images.npz",
        images=images,
        labels_heads_colour=answers["colour"],
        labels_heads_shape=labels,
    )
    out = tmp_path / "out"
    done = edgevit(
        *("convert", f"python:{tmp_path}/nets.py:net", "--image-size", "16", *given, "-o", out),
        *("--preprocess", "normalize=0..1", "--to", "onnx", "--precision", "fp32"),
        *("--evaluate", tmp_path / "images.npz"),
    )
    assert done.returncode in (0, 4), done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["reference"]["top1"] == 100.0  # of the first head that was named
    shape, lit = report["artifacts"][0]["heads"]
    assert (shape["head"], lit["head"]) == ("heads_shape", "lit")
    assert shape["reference_top1"] == shape["accuracy"]["top1"] == 90.0 and shape["sqnr_db"] > 80
    assert lit["reference_top1"] is None and lit["accuracy"]["agreement"] == 100.0
    kept = from_plain(Outcomes, json.loads((out / "outcomes.json").read_text()), "outcomes.json")
    assert [head.name for head in kept.heads] == ["heads_shape", "lit"] and kept.heads[1].labels is None
    shapes = kept.heads[0]
    assert unpack_text(shapes.classes, 9, "classes") == tuple(NAMES["heads_shape"])
    for column in (shapes.reference.correct, shapes.artifacts[0].correct):
        assert column is not None and unpack(column, len(images), "right").mean() == pytest.approx(0.9)
    told = " ".join(done.stdout.split())
    assert "heads_shape: agreement 100.00 %" in told and "nothing says what the images show for lit" in told
    metadata = {p.key: p.value for p in onnx.load(out / "onnx/fp32/model.onnx").metadata_props}
    written = json.loads(metadata["edgevit.heads"])
    assert {head: found["labels"] for head, found in written.items()} == NAMES
    assert [found["output"]["activation"] for found in written.values()] == ["softmax", "none", "sigmoid"]
    Image.fromarray(images[3]).save(tmp_path / "a.png")
    asked = ClassifyRequest(str(out / "onnx/fp32/model.onnx"), (str(tmp_path / "a.png"),), 1, threads=1)
    (image,) = classify(asked, lambda event: None).images
    found = {"heads_colour": image.classes, **(image.heads or {})}
    assert {head: classes[0].index for head, classes in found.items() if head != "lit"} == {
        "heads_colour": answers["colour"][3],
        "heads_shape": answers["shape"][3],
    }
    # the page's own code answers as the model does, for the first output and for the others
    monkeypatch.chdir(out)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (out / "USAGE.md").read_text(), re.DOTALL):
        exec(compile(code, "USAGE.md", "exec"), names)
    assert names["classify"](tmp_path / "a.png")[0] == NAMES["heads_colour"][answers["colour"][3]]
    read = names["classify_heads"](tmp_path / "a.png")
    assert list(read) == ["heads_shape", "lit"]
    assert read["heads_shape"][0] == NAMES["heads_shape"][answers["shape"][3]]
    np.testing.assert_allclose(read["heads_shape"][1], heads["shape"][3], atol=1e-4)
    assert read["lit"][0] == found["lit"][0].label
    assert found["lit"][0].label in NAMES["lit"] and found["lit"][0].probability >= 0.5
    # of a file with one head that answers wrongly, the limit is missed by that head, and the reason names it
    broken = onnx.load(out / "onnx/fp32/model.onnx")
    for held in broken.graph.initializer:
        if sorted(held.dims) in (
            [3, 16],
            [3],
        ):  # the layer of the shapes: each class takes the row of the one before
            rows = onnx.numpy_helper.to_array(held)
            held.CopyFrom(onnx.numpy_helper.from_array(np.roll(rows, 1, list(held.dims).index(3)), held.name))
    onnx.save(broken, out / "onnx/fp32/model.onnx")
    done = edgevit(
        *("validate", out / "onnx/fp32/model.onnx", "--reference", f"python:{tmp_path}/nets.py:net", *given),
        *("--image-size", "16", "--preprocess", "normalize=0..1", "--evaluate", tmp_path / "images.npz"),
        *("--max-drop", "10", "--json"),
    )
    assert done.returncode == 1, done.stderr
    (judged,) = json.loads(done.stdout)["artifacts"]
    assert judged["verdict"] == "fail" and judged["accuracy"]["agreement"] == 100.0
    assert next(reason for reason in judged["reasons"] if "drops" in reason).startswith(
        "heads_shape: top-1 drops by "
    )
