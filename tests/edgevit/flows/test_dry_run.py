"""A dry run ends with what the run would end with, before anything long."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import converters.coreml
import converters.tflite
from edgevit.core.errors import EdgevitError, InputError, MissingDependencyError
from edgevit.flows import dry_run
from edgevit.flows import make_recipe as recipes
from edgevit.flows._run_prepare import request_of
from edgevit.steps import rehearse
from edgevit.steps.planning import quantize
from edgevit.steps.resolve import resolve
from tests.edgevit.flows._tiny import settings_of, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("net"))


def rehearsed(model: Path, work: Path, **changes: Any) -> rehearse.Rehearsed:
    work.mkdir(exist_ok=True)
    wanted = resolve(recipes.make(settings_of(model, **changes)))
    return rehearse.rehearse(request_of(wanted, work), lambda event: None)


def test_it_says_what_a_run_would_work_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of the net by hand: its stem, five layers of 16x16 on 4 tokens, and its head."""
    monkeypatch.setattr(quantize, "measure_all", None)  # whoever calibrates fails
    settings = {"evaluate": str(model / "other.npz"), "evaluate_count": 40}
    found = rehearsed(model, tmp_path / "work", **settings)
    assert found.macs == 4 * 16 * 3 * 64 + 5 * 4 * 16 * 16 + 16 * 4
    assert found.spec.parameters == 16 * 192 + 16 + 2 * 16 + 5 * (256 + 16) + 64 + 4
    assert found.calibrate is not None and found.evaluate is not None
    assert (found.calibrate.found, found.calibrate.used, found.calibrate.labelled) == (64, 64, True)
    assert (found.evaluate.found, found.evaluate.used) == (64, 40)
    work = resolve(recipes.make(settings_of(model, **settings)))
    answer = dry_run._answer(work, found, ())
    assert answer.exit_code == 0 and answer.data["files"] == ["onnx/w8a8/model.onnx"]
    assert json.loads(json.dumps(answer.data))["samples"]["evaluate"]["used"] == 40
    printed = " ".join(cell for table in answer.tables for row in table.rows for cell in row)
    for text in ("40 of 64 in", "with labels", f"{found.spec.parameters:,} parameters", "logits 4"):
        assert text in printed


def class_folders(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(root / name / "a.png")
    return root


def test_labels_that_are_numbered_from_one_are_told(model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("1. cat\n2. dog\n3. fox\n4. owl\n")
    told = rehearsed(model, tmp_path / "w1", labels=labels)
    assert told.spec.labels == ("cat", "dog", "fox", "owl")
    assert (
        f"the numbers in {labels} count from 1: number 1, cat, is taken for the model's class 0"
        in told.warnings
    )
    labels.write_text("0. cat\n1. dog\n2. fox\n3. owl\n")
    assert not any("count from" in text for text in rehearsed(model, tmp_path / "w2", labels=labels).warnings)


def test_what_would_fail_later_fails_now_with_the_same_error(model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\nfour\n")
    right = class_folders(tmp_path / "right", ("one", "two"))
    assert rehearsed(model, tmp_path / "w1", evaluate=str(right), labels=labels).spec.labels[3] == "four"
    wrong = class_folders(tmp_path / "wrong", ("one", "tow"))
    damaged = class_folders(tmp_path / "damaged", ("one", "two"))
    (damaged / "two" / "a.png").write_bytes(b"no image")
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    plan = tmp_path / "plan.json"
    plan.write_text('{"schema_version": 2, "plans": []}')
    (tmp_path / "plan.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    cases: tuple[tuple[dict[str, Any], type[EdgevitError], str], ...] = (
        ({"evaluate": str(wrong), "labels": labels}, InputError, "'tow' is none of the model's 4 labels"),
        ({"evaluate": str(damaged), "labels": labels}, InputError, "a.png"),
        ({"labels": tmp_path / "few.txt"}, InputError, "2 labels, but the model has 4 classes"),
        ({"plan": plan}, InputError, "it has none at all"),
    )
    smaller = rehearsed(model, tmp_path / "w2", prune=["mlp=0.25"])
    assert len(smaller.prune) == 4 and "16 -> " in smaller.prune[0]
    for number, (changes, kind, words) in enumerate(cases):
        with pytest.raises(kind, match=words):
            rehearsed(model, tmp_path / f"case{number}", **changes)


def test_packages_that_are_missing_are_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named in --to it is exit 3 with the command; by default that target is left out with the reason."""
    bare = dataclasses.replace(converters.tflite.TARGET, modules=("no_such_package",))
    monkeypatch.setattr(converters.tflite, "TARGET", bare)
    with pytest.raises(
        MissingDependencyError, match="tflite needs the Python package 'no_such_package'"
    ) as raised:
        resolve(recipes.make({"model": "timm:x", "to": "onnx,tflite"}))
    assert raised.value.exit_code == 3 and "pip install 'edgevit[tflite]'" in raised.value.hint
    work = resolve(recipes.make({"model": "timm:x"}))
    assert set(work.pairs) == {"onnx", "coreml"}
    assert [(n.what, "no_such_package" in n.why) for n in work.not_done] == [("tflite/fp16", True)]


def test_options_are_read_before_the_work_whatever_the_precision() -> None:
    for option in ("onnx.opset=banana", "onnx.stem=late", "onnx.saturation_free=1", "onnx.float_macs=1"):
        with pytest.raises(EdgevitError, match=option.partition("=")[0]):
            resolve(recipes.make({"model": "timm:x", "to": "onnx", "precision": "fp32", "option": [option]}))
    converters.coreml.TARGET.check_options({"deployment": "iOS18", "attention": "integer", "float_macs": "0"})
