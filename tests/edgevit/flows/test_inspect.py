"""`edgevit inspect` on a model and on its files."""

from __future__ import annotations

import json

import pytest

from tests._command import edgevit
from tests.edgevit.flows._converted import Converted


@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
def test_converted_file_says_what_it_is(target: str, hybrid: Converted) -> None:
    done = edgevit("inspect", hybrid.file(target, "w8a8"), "--json")
    assert done.returncode == 0, done.stderr
    told, report = json.loads(done.stdout), hybrid.report
    (artifact,) = (a for a in report["artifacts"] if (a["target"], a["precision"]) == (target, "w8a8"))
    assert (told["precision"], told["size_bytes"]) == ("w8a8", artifact["size_bytes"])
    assert told["weight_bytes"] == artifact["weight_bytes"]
    assert told["integer_macs"]["static"] / report["model"]["macs"] == artifact["integer_mac_fraction"]
    assert told["preprocess"] == report["model"]["preprocess"]
    assert len(told["labels"]) == report["model"]["labels"] == 10
    assert told["operators"] and told["max_rank"] >= 4


def test_model_says_what_the_report_says(vit: Converted, vit_arguments: tuple[str, ...]) -> None:
    done = edgevit("inspect", *vit_arguments[: vit_arguments.index("--calibrate")], "--json")
    assert done.returncode == 0, done.stderr
    told, model = json.loads(done.stdout), vit.report["model"]
    for key in ("name", "parameters", "macs", "weights_sha256", "preprocess"):
        assert told[key] == model[key]
    assert told["operators"]["linear"] == 2 * 4 + 1  # qkv, proj, fc1, fc2 per block, and the head
