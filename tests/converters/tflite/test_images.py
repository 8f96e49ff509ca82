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
from edgevit.core.runner import RunOptions
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models

Operation = Callable[[torch.Tensor], torch.Tensor]


class _Net(nn.Module):
    """Operations on what a convolution makes of the image, 4 channels of 16x16, their results side by side."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        super().__init__()
        self.stem, self.operations = nn.Conv2d(3, 4, 3, 2, 1), operations

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.stem(image)
        return torch.cat([operation(value).reshape(1, -1) for operation in self.operations], 1)


def _executed(operations: tuple[Operation, ...], folder: Path, without: tuple[str, ...] = ()) -> list[float]:
    """dB of each operation in the executed fp32 file against PyTorch."""
    module, images = _Net(operations), models.pixels(3)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = adapt(models.graph_of(module), rewrites, "tflite", planned=False, without=without)
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in models.normalised(images)])
        sizes = [operation(torch.zeros(1, 4, 16, 16)).numel() for operation in operations]
    spec = models.spec_of(wanted.shape[1])
    TARGET.write(TARGET.prepare(graph, spec, {}), "fp32", None, folder / "m.tflite")
    with RUNTIME.open(folder / "m.tflite", RunOptions(threads=1)) as runner:
        found = torch.from_numpy(runner.run(images)["logits"])
    return [sqnr(a, b) for a, b in zip(wanted.split(sizes, 1), found.split(sizes, 1), strict=True)]


def _interpolated(**given: object) -> Operation:
    return lambda x: functional.interpolate(x, **given)  # type: ignore[arg-type]


def _sampled(**given: object) -> Operation:
    """Places up to half an image outside, two groups of channels as in deformable attention."""

    def sample(x: torch.Tensor) -> torch.Tensor:
        groups = x.reshape(2, 2, 16, 16)
        params = 1.5 * torch.tanh(groups[:, :, :5, :7]).permute(0, 2, 3, 1)
        return functional.grid_sample(groups, params, **given)  # type: ignore[arg-type]

    return sample


def test_sampling_at_computed_places_is_pytorchs(tmp_path: Path) -> None:
    zeros = _sampled(padding_mode="zeros", align_corners=False)
    border = _sampled(padding_mode="border", align_corners=True)
    levels = _executed((zeros, border), tmp_path)
    assert min(levels) > 80, levels
    assert RUNTIME.contents(tmp_path / "m.tflite").max_rank == 4


@pytest.mark.parametrize(
    ("operation", "without", "named"),
    [
        (_sampled(mode="nearest", align_corners=False), (), "grid_sampler"),
        (_sampled(mode="bicubic", align_corners=False), (), "grid_sampler"),
        (_sampled(padding_mode="reflection", align_corners=False), (), "grid_sampler"),
        (_sampled(align_corners=False), ("sample_by_gather",), "grid_sampler"),
        (_interpolated(size=(20, 9), mode="bicubic"), ("resize_as_products",), "upsample_bicubic2d"),
    ],
)
def test_what_would_have_other_values_is_refused_by_name(
    operation: Operation, without: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=rf"wrong values for aten\.{named}.* at .*\.py:\d+") as caught:
        _executed((operation,), tmp_path, without)
    assert "leave tflite out of --to" in caught.value.hint
