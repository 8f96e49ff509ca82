from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from edgevit.core.errors import InputError
from edgevit.core.precisions import Precision
from edgevit.core.results import report as r
from edgevit.core.types import Preprocess


def small_report() -> r.Report:
    return r.Report(
        model=r.ModelSummary("m", "timm:m", 10, 20, "ab", Preprocess(8, 8, (8, 8)), 3),
        samples=r.SampleSets(evaluate=r.SampleSet("demo", 5, "cd", True, ("a.jpg",))),
        reference=r.Reference(80.0, None, 5),
        artifacts=(
            r.ArtifactReport(
                "onnx",
                Precision.W8A8,
                "pass",
                path="onnx/w8a8/model.onnx",
                weight_bytes={"int8": 7},
                accuracy=r.Accuracy(79.0, 1.0, (-0.5, 2.5), 98.0, 5, 0.7),
                latency=r.Latency(1.5, None, 10, 1, 12.0, r.Ratio(0.5, (0.4, 0.6))),
                sites=(r.SiteError("head:linear", 51.0, 1, 0.001),),
            ),
            r.ArtifactReport("coreml", Precision.W8, "error", ("it failed",)),
        ),
        timings_s=r.Timings(1.0, 2.0, convert={"onnx": 0.5}),
        environment=r.Environment({"python": "3.11"}, "Linux", "cpu", 2),
        not_done=(r.NotDone("tflite w4", "no kernel"),),
    )


def test_a_report_survives_json_text() -> None:
    report = small_report()
    assert r.from_json(json.loads(json.dumps(r.to_json(report), allow_nan=False))) == report


def test_the_contract_names_are_the_keys() -> None:
    data = json.loads(json.dumps(r.to_json(small_report())))
    assert set(data) >= {
        "schema_version", "model", "samples", "reference", "artifacts", "timings_s", "environment"
    }  # fmt: skip
    first = data["artifacts"][0]
    assert set(first) >= {
        "target", "precision", "path", "size_bytes", "sha256", "executed_by", "integer_mac_fraction",
        "integer_mac_source", "weight_bytes", "compression", "fidelity", "total", "accuracy", "latency",
        "verdict", "reasons",
    }  # fmt: skip
    assert first["latency"] == {
        "p50_ms": 1.5, "p90_ms": None, "runs": 10, "threads": 1, "cold_load_ms": 12.0,
        "ratio_to_fp32": {"value": 0.5, "ci95": [0.4, 0.6]},
    }  # fmt: skip
    assert data["model"]["labels"] == 3


def test_numpy_scalars_become_plain_numbers() -> None:
    import numpy as np

    numbers: tuple[Any, ...] = (np.float32(1.5), np.float64(0.25), np.int64(3))
    total = r.Total(numbers[0], numbers[1])
    artifact = dataclasses.replace(small_report().artifacts[1], total=total, size_bytes=numbers[2])
    data = r.to_json(dataclasses.replace(small_report(), artifacts=(artifact,)))
    assert '"sqnr_db": 1.5' in json.dumps(data)
    assert '"size_bytes": 3' in json.dumps(data)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_hold_is_named(bad: float) -> None:
    report = dataclasses.replace(small_report(), reference=r.Reference(bad, None, 1))
    with pytest.raises(ValueError, match=r"Report\.reference\.top1"):
        r.to_json(report)


def test_unknown_fields_are_left_aside() -> None:
    data = r.to_json(small_report()) | {"added_later": [1]}
    assert r.from_json(data) == small_report()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 1}, "schema_version: expected 2"),
        ({"artifacts": {}}, "artifacts: expected a list"),
        ({"reference": {"top1": "x", "top5": None, "n": 1}}, "reference: top1: expected float"),
        ({"reference": {"top1": 1.0, "top5": None}}, "n is missing"),
        ({"reference": {"top1": 1.0, "top5": None, "n": True}}, "n: expected int"),
    ],
)
def test_a_malformed_report_is_an_input_error_that_names_the_field(
    change: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        r.from_json(r.to_json(small_report()) | change)
