from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.disk import manifest as m
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.precisions import Precision
from edgevit.core.quant_params import QuantParams
from edgevit.core.results.report import Report, to_json
from edgevit.quant import plan_file
from edgevit.report import _schemas


def schema(name: str) -> Any:
    return json.loads((_schemas.FOLDER / f"{name}.schema.json").read_text())


@pytest.mark.parametrize("name", _schemas.names())
def test_the_schemas_in_the_package_are_up_to_date(name: str) -> None:
    # When this fails: python -m edgevit.report._schemas
    assert (_schemas.FOLDER / f"{name}.schema.json").read_text() == _schemas.render(name)
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_a_report_is_valid_and_a_changed_one_is_not(report: Report) -> None:
    data = json.loads(json.dumps(to_json(report)))
    jsonschema.validate(data, schema("report"), jsonschema.Draft202012Validator)
    data["artifacts"][0]["added_later"] = 1
    jsonschema.validate(data, schema("report"))
    data["artifacts"][0]["verdict"] = "maybe"
    with pytest.raises(jsonschema.ValidationError, match="maybe"):
        jsonschema.validate(data, schema("report"))


def test_a_report_without_a_contract_field_is_not_valid(report: Report) -> None:
    data = json.loads(json.dumps(to_json(report)))
    del data["artifacts"][0]["total"]
    with pytest.raises(jsonschema.ValidationError, match="'total' is a required"):
        jsonschema.validate(data, schema("report"))


def test_a_manifest_is_valid(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    made = m.build(tmp_path, "edgevit 0", m.ManifestModel("m", "demo", "ff"), {"to": "onnx"})
    jsonschema.validate(json.loads(json.dumps(m.to_json(made))), schema("manifest"))


ONNX = BackendCapabilities("onnx", "w8a8", "float32", (OpCapabilities("linear", "uint8", "uint8", "int32"),))


def test_a_stored_plan_is_valid(tmp_path: Path) -> None:
    params = QuantParams("int8", (0.5, 0.25), (0, 0), 0)
    site = SitePlan("head:linear", "linear", QuantParams("int8", (0.1,), (3,)), params, None, "float32")
    tensors = {"head:linear.weight": np.zeros((2, 3), np.int8)}
    plan = QuantPlan(
        "onnx", Precision.W8A8, "float32", "ab", (site,), (("a:qk", "no kernel"),), tensors, capabilities=ONNX
    )
    plan_file.save([plan], tmp_path)
    jsonschema.validate(json.loads((tmp_path / "plan.json").read_text()), schema("plan"))
