"""Resizing as each runtime executes it, against torch.nn.functional.interpolate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.core.runner import RunOptions
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from tests._sqnr import sqnr
from tests.converters import _small_models as models

GIVEN: tuple[dict[str, Any], ...] = (
    {"size": (9, 20), "mode": "bilinear"},
    {"size": (9, 20), "mode": "bilinear", "align_corners": True},
    {"scale_factor": 1.3, "mode": "bilinear"},
    {"size": (9, 20), "mode": "bilinear", "antialias": True},
    {"size": (7, 5), "mode": "bicubic", "antialias": True, "align_corners": True},
    {"size": (20, 9), "mode": "bicubic"},
    {"scale_factor": 0.7, "mode": "bicubic", "align_corners": True},
    {"size": (10, 24), "mode": "nearest"},
    {"scale_factor": 0.7, "mode": "nearest"},
    {"scale_factor": 2.0, "mode": "nearest-exact"},
    {"size": (7, 5), "mode": "nearest-exact"},
    {"size": (7, 5), "mode": "area"},
    {"size": (8, 4), "mode": "area"},
)


class _Net(nn.Module):
    """Each resize of what a convolution makes of the image, 4 channels of 16x16, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.stem(image)
        return torch.cat([functional.interpolate(value, **given).reshape(1, -1) for given in GIVEN], 1)


@pytest.mark.parametrize(
    ("target", "runtime"),
    [
        ("onnx", "onnxruntime"),
        pytest.param("tflite", "litert", marks=pytest.mark.family),
        ("coreml", "coreml_reference"),
    ],
)
def test_resizing_is_pytorchs(target: str, runtime: str, tmp_path: Path) -> None:
    module, images = _Net(), models.pixels(2)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = adapt(models.graph_of(module), rewrites, target, planned=False)
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in models.normalised(images)])
        blank = torch.zeros(1, 4, 16, 16)
        lengths = [functional.interpolate(blank, **given).numel() for given in GIVEN]
    plugin, path = TARGETS.get(target), tmp_path / f"m.{TARGETS.get(target).suffix}"
    plugin.write(plugin.prepare(graph, models.spec_of(wanted.shape[1]), {}), "fp32", None, path)
    with RUNTIMES.get(runtime).open(path, RunOptions(threads=1)) as runner:
        found = torch.from_numpy(runner.run(images)["logits"])
    for given, one, other in zip(GIVEN, wanted.split(lengths, 1), found.split(lengths, 1), strict=True):
        assert sqnr(one, other) > 100, (given, sqnr(one, other))
    assert RUNTIMES.get(runtime).contents(path).max_rank == 4
