"""A model that a format cannot hold is told before any work on it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import converters.coreml
import converters.tflite
from edgevit import cli
from edgevit.core.errors import UnsupportedError
from edgevit.core.types import ModelSpec, Preprocess
from edgevit.flows import make_recipe as recipes
from edgevit.steps.resolve import resolve
from edgevit.steps.size_limits import narrow, too_large

NET = """
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(64, 10))
"""


def spec_of(parameters: int) -> ModelSpec:
    return ModelSpec("giant", "timm:giant", Preprocess(8, 8, (8, 8)), (), (), "", parameters)


def test_a_model_that_just_fits_is_not_refused_and_one_parameter_more_is() -> None:
    limits = {"onnx": None, "small": 4000}
    assert too_large(spec_of(1000), limits, named=True) == {}
    with pytest.raises(UnsupportedError, match="small makes all its files from a float32 file") as error:
        too_large(spec_of(1001), limits, named=True)
    assert error.value.hint == "leave small out of --to"


def test_targets_nobody_named_are_left_out_with_their_reason_unless_none_is_left() -> None:
    found = too_large(spec_of(10**9), {"onnx": None, "small": 2**31}, named=False)
    assert list(found) == ["small"] and "1000 million parameters of giant take 4.00 GB" in found["small"]
    with pytest.raises(UnsupportedError):
        too_large(spec_of(10**9), {"small": 2**31}, named=False)


def test_files_of_a_target_that_is_left_out_are_listed_with_the_reason() -> None:
    work = resolve(recipes.make({"model": "timm:x", "precision": "fp32,w8"}))
    left = narrow(work, {"tflite": "too large"})
    assert set(left.pairs) == set(work.pairs) - {"tflite"}
    assert [(n.what, n.why) for n in left.not_done] == [
        ("tflite/fp32", "too large"),
        ("tflite/w8", "too large"),
    ]


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of 1,422 parameters, where a .tflite file ends at 4,000 bytes."""
    small = dataclasses.replace(converters.tflite.TARGET, float_limit_bytes=4000)
    monkeypatch.setattr(converters.tflite, "TARGET", small)
    path = tmp_path / "net.py"
    path.write_text(NET)
    return f"python:{path}:net"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["convert", *arguments, "--image-size", "32", "--random-weights", "0", "--json"])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_tflite_in_to_is_exit_3_before_images_are_read(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "images.npz"
    damaged.write_bytes(b"whoever reads this fails with another code")
    images = ("--calibrate", str(damaged), "-o", str(tmp_path / "out"))
    assert run(net, "--to", "tflite,onnx", "--precision", "w8a8", *images) == 3
    told = json.loads(capsys.readouterr().out)["error"]
    assert "tflite makes all its files from a float32 file" in told["message"]
    assert told["hint"] == "leave tflite out of --to"
    assert not (tmp_path / "out").exists()


@pytest.mark.family
def test_tflite_by_default_is_left_out_and_the_report_says_why(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    none = dataclasses.replace(converters.coreml.TARGET, precisions=())  # one conversion is enough here
    monkeypatch.setattr(converters.coreml, "TARGET", none)
    assert run(net, "--precision", "fp32", "-o", str(tmp_path / "out")) == 0
    report = json.loads(capsys.readouterr().out)
    assert [a["target"] for a in report["artifacts"]] == ["onnx"]
    (left_out,) = (n for n in report["not_done"] if n["what"] == "tflite/fp32")
    assert "tflite makes all its files from a float32 file" in left_out["why"]
    assert not (tmp_path / "out" / "tflite").exists()
