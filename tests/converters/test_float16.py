"""fp16 files of models that float16 spoils: the plain file is wrong, the one that keeps sites is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgevit.core.plugins import Target
from edgevit.core.runner import RunOptions
from edgevit.core.types import TorchModel
from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.graph.float16.range_analysis import scan
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from tests._float16 import offset_stream, overflowing_mlp, small_stream, vit
from tests._sqnr import sqnr
from tests.converters import _small_models as models

RUNTIME = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}


def converted(
    name: str, change: Callable[[nn.Module], None]
) -> tuple[nn.Module, Target, object, frozenset[str]]:
    """The model, its target, what the target prepared, and the sites that the scan keeps."""
    module = vit()
    change(module)
    rewrites = {n: REWRITES.get(n) for n in REWRITES.names()}
    graph = adapt(export_model(TorchModel(models.spec_of(10), module), rewrites), rewrites, name, False)
    kept = scan(graph, models.normalised(models.pixels(4)))
    target = TARGETS.get(name)
    return module, target, target.prepare(graph, models.spec_of(10), {}), frozenset(k.site for k in kept)


def executed_db(module: nn.Module, name: str, path: Path) -> float:
    with torch.no_grad():
        wanted = module(models.normalised(models.pixels(4))).numpy()
    with RUNTIMES.get(RUNTIME[name]).open(path, RunOptions()) as runner:
        got = np.asarray(runner.run(models.pixels(4))["logits"], np.float32)
    return sqnr(wanted, got) if np.isfinite(got).all() else -math.inf


@pytest.mark.parametrize(
    ("name", "change", "count"),
    [
        ("onnx", overflowing_mlp, 6),
        ("onnx", offset_stream, 10),
        ("coreml", overflowing_mlp, 6),
        ("coreml", small_stream, 5),
        ("coreml", offset_stream, 10),
    ],
)
def test_the_plain_file_is_wrong_and_the_kept_sites_make_it_right(
    name: str, change: Callable[[nn.Module], None], count: int, tmp_path: Path
) -> None:
    module, target, prepared, kept = converted(name, change)
    assert len(kept) == count
    found = {}
    for key, keep in (("plain", frozenset[str]()), ("kept", kept)):
        out = tmp_path / f"{key}.{target.suffix}"
        target.write(prepared, "fp16", None, out, keep)
        found[key] = executed_db(module, name, out)
    assert found["plain"] < 20 and found["kept"] > 40


def test_constants_that_float16_spoils_stay_float32_in_tflite(tmp_path: Path) -> None:
    module, target, prepared, kept = converted("tflite", offset_stream)
    assert target.half == "stored"
    target.write(prepared, "fp16", None, tmp_path / "kept.tflite", kept)
    assert executed_db(module, "tflite", tmp_path / "kept.tflite") > 40
    bytes_of = RUNTIMES.get("litert").contents(tmp_path / "kept.tflite").weight_bytes
    assert bytes_of["float16"] > 10 * bytes_of["float32"]
