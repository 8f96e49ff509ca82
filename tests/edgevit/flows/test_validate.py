"""`edgevit validate`: files made earlier, against the float model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests._command import edgevit
from tests.edgevit.flows._converted import EVALUATED, Converted

AGAINST_DEMO = ("--reference", "demo", "--evaluate", "demo", "--evaluate-count", str(EVALUATED), "--json")


def test_bundle_is_judged_as_it_was_when_it_was_made(demo: Converted, tmp_path: Path) -> None:
    for name in ("onnx/w8a8", "tflite/fp16", "coreml/w8a8"):
        shutil.copytree(demo.bundle / name, tmp_path / name)
    done = edgevit("validate", tmp_path, *AGAINST_DEMO)
    assert done.returncode == 0, done.stderr
    before = {(a["target"], a["precision"]): a for a in demo.report["artifacts"]}
    found = json.loads(done.stdout)["artifacts"]
    assert len(found) == 3
    for artifact in found:
        made = before[artifact["target"], artifact["precision"]]
        assert artifact["accuracy"]["top1"] == made["accuracy"]["top1"]
        assert artifact["accuracy"]["agreement"] == made["accuracy"]["agreement"]
        assert artifact["total"]["sqnr_db"] == pytest.approx(made["total"]["sqnr_db"], abs=0.01)
        assert artifact["sha256"] == made["sha256"]
        assert artifact["integer_mac_fraction"] == made["integer_mac_fraction"]


def test_file_that_got_worse_fails_its_limit(demo: Converted, tmp_path: Path) -> None:
    """The demo with the weights of its last layer negated: its favourite class becomes its last."""
    model = onnx.load(demo.file("onnx", "fp32"))
    *_, last = (node for node in model.graph.node if node.op_type in ("Gemm", "MatMul"))
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name in last.input[1:2])
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(-values), weight.name))
    onnx.save(model, tmp_path / "worse.onnx")
    done = edgevit("validate", tmp_path / "worse.onnx", *AGAINST_DEMO, "--max-drop", "5")
    assert done.returncode == 1, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["verdict"] == "fail" and any("the limit is 5" in reason for reason in artifact["reasons"])
