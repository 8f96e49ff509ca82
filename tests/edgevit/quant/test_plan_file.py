"""plan.json with plan.safetensors: what is written comes back, and what is broken is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.quant import plan_file


def plan(target: str, weight: int = 5, bias: bool = True) -> QuantPlan:
    tensors: dict[str, np.ndarray] = {"a:linear.weight": np.full((2, 3), weight, np.int8)}
    if bias:
        tensors["a:linear.bias"] = np.array([7, -(2**30)], np.int32)
    site = SitePlan(
        site="a:linear",
        kind="linear",
        input=QuantParams("uint8", (0.1,), (3,)),
        weight=QuantParams("int8", (0.1, 1 / 3), (0, 0), axis=0),
        output=None,
        bias="int32" if bias else "float32",
    )
    capabilities = BackendCapabilities(target, "w8a8", "float32", ())
    return QuantPlan(
        target,
        "w8a8",
        "float32",
        "00ff",
        (site,),
        (("b:qk", "float here"),),
        tensors,
        capabilities=capabilities,
    )


def test_plans_come_back_equal_and_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    plans = (plan("onnx"), plan("tflite", bias=False), plan("coreml", weight=6))
    plan_file.save(plans, tmp_path)
    loaded = plan_file.load(tmp_path)
    assert loaded == plans  # all fields but the tensors
    for old, new in zip(plans, loaded, strict=True):
        assert old.tensors.keys() == new.tensors.keys()
        assert all(np.array_equal(old.tensors[k], new.tensors[k]) for k in old.tensors)
        assert all(old.tensors[k].dtype == new.tensors[k].dtype for k in old.tensors)
    entries = json.loads((tmp_path / "plan.json").read_text())["plans"]
    assert [e["tensors"]["a:linear.weight"] for e in entries] == [
        "a:linear.weight",
        "a:linear.weight",
        "a:linear.weight~1",
    ]
    assert plan_file.find(loaded, "coreml", "w8a8") is loaded[2]
    assert plan_file.find(loaded, "coreml", "w8") is None


def test_the_tensors_are_a_safetensors_file(tmp_path: Path) -> None:
    arrays = {
        "a:linear.weight": np.arange(-3, 3, dtype=np.int8).reshape(2, 3),
        "a:linear.bias": np.array([7, -(2**30)], np.int32),
        "b:linear.weight": np.arange(5, dtype=np.uint8),
        "b:linear.lut": np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4),
    }
    plan_file.save((replace(plan("onnx"), tensors=arrays),), tmp_path)
    found = load_file(tmp_path / "plan.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "plan.json").read_text()
    assert old in text
    (folder / "plan.json").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema_version": 2', '"schema_version": 1'),
        ('"schema_version": 2,', ""),
        ('"target"', '"targets"'),
        ('"compute": "float32"', '"compute": "float64"'),
        ('"dtype": "uint8"', '"dtype": "uint4"'),
        ('"sites": [', '"sites": [,'),
        ('"a:linear.weight": "a:linear.weight"', '"a:linear.weight": "gone"'),
        ('"plans"', '"plan"'),
    ],
)
def test_a_plan_that_was_edited_into_nonsense_is_an_input_error(tmp_path: Path, old: str, new: str) -> None:
    plan_file.save((plan("onnx"),), tmp_path)
    edit(tmp_path, old, new)
    with pytest.raises(InputError, match="no readable plan"):
        plan_file.load(tmp_path)


def test_a_number_where_a_list_belongs_is_named_by_target_precision_and_site(tmp_path: Path) -> None:
    plan_file.save((plan("onnx"),), tmp_path)
    document = json.loads((tmp_path / "plan.json").read_text())
    document["plans"][0]["sites"][0]["input"]["scale"] = 0
    (tmp_path / "plan.json").write_text(json.dumps(document))
    where = f"onnx {plan('onnx').precision} sites {plan('onnx').sites[0].site} input scale"
    with pytest.raises(InputError, match=re.escape(where)):
        plan_file.load(tmp_path)


@pytest.mark.parametrize("name", ["plan.json", "plan.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"not this", b"[]", b"\xff\xfe\x00\x01" * 10])
def test_a_missing_or_broken_file_is_an_input_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    plan_file.save((plan("onnx"),), tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="no readable plan"):
        plan_file.load(tmp_path)
