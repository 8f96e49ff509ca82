"""Precisions against a table written out by hand, and as the plain words that files and commands have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import InputError
from edgevit.core.precisions import Precision, Variant
from edgevit.core.results.report import ArtifactReport
from edgevit.steps.artifacts import find_artifacts

# word -> bits of a weight, whether a plan decides, whether ranges are measured, whether activations are integers
MEANT = {
    "fp32": (32, False, False, False),
    "fp16": (16, False, False, False),
    "w8": (8, True, False, False),
    "w8a8": (8, True, True, True),
    "w8da8": (8, True, False, True),
    "w8a16": (8, True, True, True),
    "w4": (4, True, False, False),
    "lut4": (4, True, False, False),
    "lut6": (6, True, False, False),
}


def test_each_precision_says_what_it_needs() -> None:
    found = {str(p): (p.bits, p.needs_plan, p.needs_calibration, p.quantizes_activations) for p in Precision}
    assert found == MEANT


def test_files_and_messages_have_the_plain_word() -> None:
    assert json.dumps({Precision.W8A8: [Precision.FP16]}) == '{"w8a8": ["fp16"]}'
    assert f"{Precision.LUT4} {Variant('onnx', Precision.W8DA8)}" == "lut4 onnx/w8da8"
    report = ArtifactReport("onnx", Precision.W8A8)
    data = to_plain(report)
    assert data["precision"] == "w8a8" and type(data["precision"]) is str
    assert from_plain(ArtifactReport, data, "report").precision is Precision.W8A8


def test_an_unknown_word_in_a_file_is_named_with_what_is_known() -> None:
    data = {**to_plain(ArtifactReport("onnx", Precision.W8)), "precision": "int8"}
    with pytest.raises(InputError, match=r"precision: expected 'fp32' or .*'lut6', got 'int8'"):
        from_plain(ArtifactReport, data, "report.json")
    assert Precision.named("int8") is None and Precision.named(8) is None


def test_a_folder_of_a_bundle_names_a_precision_or_says_nothing(tmp_path: Path) -> None:
    for name in ("w8da8", "int8"):
        (tmp_path / "onnx" / name).mkdir(parents=True)
        (tmp_path / "onnx" / name / "model.onnx").write_bytes(b"")
    found = {file.path.parent.name: file.precision for file in find_artifacts(tmp_path)}
    assert found == {"w8da8": Precision.W8DA8, "int8": None}
