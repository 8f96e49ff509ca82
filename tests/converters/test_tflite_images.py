"""Sampling and resizing as LiteRT executes them, against PyTorch; what would be wrong is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from converters.tflite import TARGET
from edgevit.core.errors import UnsupportedError
from edgevit.core.types import RunOptions
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models

Operation = Callable[[torch.Tensor], torch.Tensor]


class _Net(nn.Module):
    """One operation between a convolution to 4 channels, 16x16, and a head."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.stem, self.head = nn.Conv2d(3, 4, 3, 2, 1), nn.LazyLinear(10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.operation(self.stem(image)).flatten(1))
        return logits


def _executed(operation: Operation, folder: Path, without: tuple[str, ...] = ()) -> float:
    """dB of the executed fp32 file against PyTorch."""
    module, images = _Net(operation), models.pixels(3)
    module(models.normalised(images[:1]))  # the head takes its size
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = adapt(models.graph_of(module), rewrites, "tflite", planned=False, without=without)
    TARGET.write(TARGET.prepare(graph, models.spec_of(10), {}), "fp32", None, folder / "m.tflite")
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in models.normalised(images)])
    with RUNTIME.open(folder / "m.tflite", RunOptions(threads=1)) as runner:
        return sqnr(wanted, runner.run(images)["logits"])


def _sampled(**given: object) -> Operation:
    """Places up to half an image outside, two groups of channels as in deformable attention."""

    def sample(x: torch.Tensor) -> torch.Tensor:
        groups = x.reshape(2, 2, 16, 16)
        grid = 1.5 * torch.tanh(groups[:, :, :5, :7]).permute(0, 2, 3, 1)
        return functional.grid_sample(groups, grid, **given).reshape(1, -1)  # type: ignore[arg-type]

    return sample


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("corners", [False, True])
def test_sampling_at_computed_places_is_pytorchs(padding: str, corners: bool, tmp_path: Path) -> None:
    assert _executed(_sampled(padding_mode=padding, align_corners=corners), tmp_path) > 80


@pytest.mark.parametrize(
    "given",
    [
        {"size": (20, 9), "mode": "bicubic"},
        {"size": (10, 24), "mode": "nearest"},
        {"size": (9, 20), "mode": "bilinear"},
        {"size": (9, 20), "mode": "bilinear", "align_corners": True},
    ],
)
def test_resizing_is_pytorchs(given: dict[str, object], tmp_path: Path) -> None:
    assert _executed(lambda x: functional.interpolate(x, **given), tmp_path) > 80  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "without", "named"),
    [
        (_sampled(mode="nearest", align_corners=False), (), "grid_sampler"),
        (_sampled(mode="bicubic", align_corners=False), (), "grid_sampler"),
        (_sampled(padding_mode="reflection", align_corners=False), (), "grid_sampler"),
        (_sampled(align_corners=False), ("sample_by_gather",), "grid_sampler"),
        (
            lambda x: functional.interpolate(x, (20, 9), mode="bicubic"),
            ("resize_as_products",),
            "upsample_bicubic2d",
        ),
    ],
)
def test_what_would_have_other_values_is_refused_by_name(
    operation: Operation, without: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=rf"wrong values for aten\.{named}.* at .*\.py:\d+") as caught:
        _executed(operation, tmp_path, without)
    assert "leave tflite out of --to" in caught.value.hint
