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
from tests.edgevit.flows import _hybrid
from tests.edgevit.flows._converted import EVALUATED, Converted

AGAINST = (
    *("--reference", *_hybrid.MODEL, *_hybrid.LABELS),
    *("--evaluate", "demo", "--evaluate-count", str(EVALUATED), "--json"),
)


def test_bundle_is_judged_as_it_was_when_it_was_made_and_a_file_that_got_worse_fails(
    hybrid: Converted, tmp_path: Path
) -> None:
    """The last layer of one file has its weights negated: its favourite class becomes its last."""
    for name in ("onnx/w8a8", "onnx/fp16", "tflite/fp16", "coreml/w8a8"):
        shutil.copytree(hybrid.bundle / name, tmp_path / name)
    worse = ("onnx", "fp16")
    negate_last_layer(tmp_path / "onnx" / "fp16" / "model.onnx")
    plan = json.loads((hybrid.bundle / "plan.json").read_text())
    assert "made of weights" not in json.dumps(hybrid.report)
    plan["made_with"]["weights_sha256"] = "0" * 64
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    shutil.copy(hybrid.bundle / "manifest.json", tmp_path)
    kept = tmp_path / "kept"
    done = edgevit("validate", tmp_path, *AGAINST, "--max-drop", "8", "-o", kept)
    assert done.returncode == 1, done.stderr
    assert "was made of weights with the sha256 000000000000" in done.stdout
    before = {(a["target"], a["precision"]): a for a in hybrid.report["artifacts"]}
    found = {(a["target"], a["precision"]): a for a in json.loads(done.stdout)["artifacts"]}
    assert len(found) == 4 and found[worse]["verdict"] == "fail"
    assert any("the limit is 8" in reason for reason in found.pop(worse)["reasons"])
    for pair, artifact in found.items():
        made = before[pair]
        assert artifact["verdict"] in ("pass", "inconclusive")  # so few images may not show the limit
        assert artifact["accuracy"]["top1"] == made["accuracy"]["top1"]
        assert artifact["accuracy"]["agreement"] == made["accuracy"]["agreement"]
        assert artifact["total"]["sqnr_db"] == pytest.approx(made["total"]["sqnr_db"], abs=0.01)
        assert artifact["sha256"] == made["sha256"]
        assert artifact["integer_mac_fraction"] == made["integer_mac_fraction"]
    # What validate keeps is a bundle: it verifies, and the gate finds in it the one file that got worse.
    assert edgevit("verify", kept).returncode == 0
    gated = edgevit(
        *("gate", kept, "--baseline", hybrid.bundle, "--max-latency-regression", "off", "--accept", "*/*"),
        *("--no-thumbnails", "--json", "-q"),
    )
    assert gated.returncode == 1, gated.stderr
    checks = json.loads(gated.stdout)["checks"]
    worst = {(c["subject"], c["kind"]) for c in checks if c["outcome"] == "regressed"}
    assert {("onnx/fp16", "accuracy"), ("onnx/fp16", "agreement")} <= worst
    assert {subject for subject, _ in worst} == {"onnx/fp16"}
    same = [c for c in checks if c["kind"] == "accuracy" and c["subject"] in ("onnx/w8a8", "coreml/w8a8")]
    assert len(same) == 2 and all(c["outcome"] == "pass" and "byte for byte" in c["reason"] for c in same)


def negate_last_layer(path: Path) -> None:
    model = onnx.load(path)
    *_, last = (node for node in model.graph.node if node.op_type in ("Gemm", "MatMul"))
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name in last.input[1:2])
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(-values), weight.name))
    onnx.save(model, path)
