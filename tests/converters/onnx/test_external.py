"""ONNX files whose weights stand beside them, as those of every large model do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest
import torch

from converters.onnx import TARGET
from converters.onnx import file as onnx_file
from edgevit.core.disk.artifact import artifact_sha256, artifact_size
from edgevit.core.errors import UsageError
from edgevit.core.runner import RunOptions
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models


def _module() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 8, 8), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(256, 10)
    )


@pytest.fixture
def above(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is too large for one file."""
    monkeypatch.setattr(onnx_file, "LARGEST_IN_ONE_FILE", 1000)


@pytest.mark.usefixtures("above")
@pytest.mark.parametrize("precision", ["fp32", "w8a8"])
def test_a_large_model_has_its_weights_beside_it_and_runs(precision: str, tmp_path: Path) -> None:
    module = _module()
    graph = models.graph_of(module)
    images = models.normalised(models.pixels(4))
    placed = TARGET.capabilities(precision)
    plan = models.plan_of(graph, placed, images) if placed else None
    out = tmp_path / "model.onnx"
    sites = TARGET.write(TARGET.prepare(graph, models.spec_of(10), {}), precision, plan, out)
    beside = tmp_path / "model.onnx.data"
    assert sorted(tmp_path.iterdir()) == [out, beside] and out.stat().st_size < 20_000
    assert artifact_size(out) == out.stat().st_size + beside.stat().st_size
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (out, beside)]
    assert artifact_sha256(out) == hashlib.sha256("\0".join(digests).encode()).hexdigest()
    onnx.checker.check_model(str(out), full_check=True)  # also that each range lies within the file
    with torch.no_grad():
        wanted = module(images)
    with RUNTIME.open(out, RunOptions(1)) as runner:
        assert sqnr(wanted, runner.run(models.pixels(4))["logits"]) > (100 if precision == "fp32" else 20)
    taps = tuple(site.output for site in sites)
    with RUNTIME.open(out, RunOptions(1, taps)) as runner:
        assert set(taps) <= runner.run(models.pixels(1)).keys()
    assert RUNTIME.contents(out).preprocess == models.PREPROCESS
    stored = 3 * 16 * 64 + 2560
    kind = "float32" if precision == "fp32" else "int8"
    assert (
        stored <= RUNTIME.contents(out).weight_bytes[kind] * (1 if kind == "int8" else 0.25) <= stored + 100
    )
    assert (RUNTIME.integer_macs(out).static > 0) == (precision == "w8a8")


def test_a_smaller_model_in_the_same_place_leaves_no_weights_of_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = TARGET.prepare(models.graph_of(_module()), models.spec_of(10), {})
    out = tmp_path / "model.onnx"
    with monkeypatch.context() as small:
        small.setattr(onnx_file, "LARGEST_IN_ONE_FILE", 1000)
        TARGET.write(prepared, "fp32", None, out)
    assert len(list(tmp_path.iterdir())) == 2
    TARGET.write(prepared, "fp32", None, out)
    assert list(tmp_path.iterdir()) == [out]
    assert artifact_size(out) == out.stat().st_size


@pytest.mark.usefixtures("above")
def test_weights_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx.data").mkdir()  # a folder cannot be replaced by a file
    prepared = TARGET.prepare(models.graph_of(_module()), models.spec_of(10), {})
    with pytest.raises(UsageError, match="model.onnx.data is a folder"):
        TARGET.write(prepared, "fp32", None, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx.data"]
