"""Models for grey images and for five bands, in every format, executed against PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess, TorchModel
from edgevit.graph.export import export_model
from edgevit.models._random import randomise
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from tests._sqnr import sqnr
from tests.converters import _small_models as models

GRAY = Preprocess(32, 32, (32, 32), color="gray", mean=(0.4,), std=(0.25,))
BANDS = Preprocess(
    32, 32, (32, 32), color="bands", mean=(0.1, 0.2, 0.3, 0.4, 0.5), std=(0.2, 0.25, 0.3, 0.35, 0.4)
)
RUNTIME = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}


@pytest.mark.parametrize(
    "preprocess", [pytest.param(GRAY, marks=pytest.mark.family), BANDS], ids=["gray", "bands"]
)
def test_every_format_takes_as_many_channels_as_the_model(preprocess: Preprocess, tmp_path: Path) -> None:
    count = preprocess.channels
    module = models.tiny_vit(count)
    randomise(module, 1, (32, 32))
    spec = replace(models.spec_of(10), preprocess=preprocess)
    graph = export_model(
        TorchModel(spec, module.eval()), {name: REWRITES.get(name) for name in REWRITES.names()}
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, count), dtype=np.uint8)
    real = (pixels / 255 - np.array(preprocess.mean)) / np.array(preprocess.std)
    wanted = module(torch.from_numpy(real).float().permute(0, 3, 1, 2)).detach()
    shown = {
        "onnx": ((1, count, 32, 32), "float32"),
        "tflite": ((1, 32, 32, count), "float32"),
        "coreml": ((1, count, 32, 32), "image gray" if count == 1 else "float32"),
    }
    cases = [("onnx", {}), ("onnx", {"input": "uint8"}), ("tflite", {}), ("coreml", {})]
    for name, options in cases:
        target, runtime = TARGETS.get(name), RUNTIMES.get(RUNTIME[name])
        path = tmp_path / f"m.{target.suffix}"
        target.write(target.prepare(graph, spec, options), "fp32", None, path)
        with runtime.open(path, RunOptions(threads=1)) as runner:
            assert sqnr(wanted, runner.run(pixels)["logits"]) > 100, (name, options)
        contents = runtime.contents(path)
        assert contents.preprocess == preprocess
        if not options:
            assert (contents.inputs[0].shape, contents.inputs[0].dtype) == shown[name]
