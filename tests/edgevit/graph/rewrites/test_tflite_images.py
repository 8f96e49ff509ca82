"""Pooling, resizing and sampling as TFLite's operators do them, with PyTorch's values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.core.plugins import Rewrite
from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import plain_pooling, remove_aliases, resize_as_products, sample_by_gather
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

Operation = Callable[[torch.Tensor], torch.Tensor]


class One(nn.Module):
    """A convolution to 6 channels, 16x16, and one operation on it."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.conv, self.operation = nn.Conv2d(3, 6, 3, padding=1), operation

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.operation(self.conv(image)).flatten(1)


def _db(operation: Operation, rewrite: Rewrite, fires: bool = True) -> float:
    module = small.randomised(One(operation))
    graph = small.graph_of(module, remove_aliases=remove_aliases.REWRITE)
    after = adapt(graph, {"rewrite": rewrite}, "tflite", planned=True)
    assert ("rewrite" in after.rewrites) == fires
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in small.images()])
    return small.db(wanted, run(after, small.images())[0][0])


@pytest.mark.parametrize(
    "given",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        {"kernel_size": (5, 2), "stride": (3, 2), "padding": (2, 0), "ceil_mode": True},
        {"kernel_size": 2, "stride": 2, "ceil_mode": True, "count_include_pad": False},
        {"kernel_size": 2, "stride": 2, "divisor_override": 3},
        {"kernel_size": 3, "stride": 1, "padding": 1, "divisor_override": 5},
    ],
)
def test_average_pooling_divides_as_the_model_does(given: dict[str, object]) -> None:
    assert _db(lambda x: functional.avg_pool2d(x, **given), plain_pooling.REWRITE) > 120  # type: ignore[arg-type]


def test_pooling_that_the_operator_does_is_left_alone() -> None:
    assert _db(lambda x: functional.avg_pool2d(x, 2), plain_pooling.REWRITE, fires=False) > 130
    same = _db(
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        plain_pooling.REWRITE,
        fires=False,
    )
    assert same > 130


@pytest.mark.parametrize(
    "given",
    [
        {"size": (20, 9), "mode": "bicubic"},
        {"scale_factor": 1.5, "mode": "bicubic", "align_corners": True},
        {"size": (10, 24), "mode": "nearest"},
        {"scale_factor": (0.5, 1.25), "mode": "nearest"},
    ],
)
def test_resizing_is_pytorchs(given: dict[str, object]) -> None:
    assert _db(lambda x: functional.interpolate(x, **given), resize_as_products.REWRITE) > 110  # type: ignore[arg-type]


def test_averages_over_parts_of_different_sizes_are_pytorchs() -> None:
    assert _db(lambda x: functional.adaptive_avg_pool2d(x, (7, 5)), resize_as_products.REWRITE) > 110
    even = _db(lambda x: functional.adaptive_avg_pool2d(x, (8, 4)), resize_as_products.REWRITE, fires=False)
    assert even > 110


def test_repeating_whole_pixels_is_left_to_the_operator() -> None:
    double = _db(
        lambda x: functional.interpolate(x, scale_factor=2.0), resize_as_products.REWRITE, fires=False
    )
    assert double > 130


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_sampling_takes_four_pixels_and_zeros_or_the_border_outside(
    padding: str, corners: bool, batch: int
) -> None:
    """Points up to half an image outside; two images at once as deformable attention's groups."""

    def sample(x: torch.Tensor) -> torch.Tensor:
        image = x.reshape(batch, 6 // batch, 16, 16)
        grid = 1.5 * torch.tanh(image[:, :2, :5, :7].permute(0, 2, 3, 1))
        found = functional.grid_sample(image, grid, padding_mode=padding, align_corners=corners)
        return found.reshape(1, -1)

    assert _db(sample, sample_by_gather.REWRITE) > 90


@pytest.mark.parametrize("given", [{"mode": "nearest"}, {"mode": "bicubic"}, {"padding_mode": "reflection"}])
def test_other_sampling_is_left_for_the_converter_to_refuse(given: dict[str, str]) -> None:
    def sample(x: torch.Tensor) -> torch.Tensor:
        return functional.grid_sample(
            x, torch.tanh(x[:, :2].permute(0, 2, 3, 1)), align_corners=False, **given
        )

    assert _db(sample, sample_by_gather.REWRITE, fires=False) > 100
