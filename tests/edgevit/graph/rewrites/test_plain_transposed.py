"""Transposed convolutions in simpler ones, and convolutions over rows over images, against PyTorch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgevit.core.plugins import Rewrite
from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import cut_negative_padding, plain_transposed, rows_as_images
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

APART: dict[str, Rewrite] = {
    "plain_transposed": plain_transposed.REWRITE,
    "cut_negative_padding": cut_negative_padding.REWRITE,
}


class _Net(nn.Module):
    def __init__(self, layer: nn.Module, rows: bool = False) -> None:
        super().__init__()
        self.stem, self.layer, self.rows = nn.Conv2d(3, 12, 3, 4), layer, rows

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        out: torch.Tensor = self.layer(x.flatten(2) if self.rows else x)
        return out


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 2, "stride": 2, "groups": 12},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 3},
        {
            "kernel_size": (3, 2),
            "stride": (1, 3),
            "padding": (2, 0),
            "dilation": (2, 1),
            "groups": 2,
            "bias": False,
        },
        {"kernel_size": 2, "stride": 4, "output_padding": (0, 3), "groups": 4},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 4, "stride": 3, "padding": (2, 1), "output_padding": (2, 0)},
        {"kernel_size": 2, "stride": 3, "padding": 1, "output_padding": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
    ],
)
def test_each_gives_the_same(settings: dict[str, Any]) -> None:
    module = small.randomised(_Net(nn.ConvTranspose2d(12, 24, **settings)))
    after = adapt(small.graph_of(module), APART, "tflite", planned=False)
    assert "plain_transposed" in after.rewrites
    for node in after.program.graph.nodes:
        if node.target is torch.ops.aten.conv_transpose2d.input:  # the layer, bias and stride are left
            assert len(node.args) <= 4
    images = small.images(2)
    assert small.db(torch.cat([module(image[None]) for image in images]), run(after, images)[0][0]) > 120


def test_what_is_plain_stays() -> None:
    graph = small.graph_of(small.randomised(_Net(nn.ConvTranspose2d(12, 4, 2, 2))))
    assert adapt(graph, APART, "tflite", planned=False) is graph


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(12, 8, 1),
        nn.Conv1d(12, 24, 3, stride=2, padding=2, dilation=2, groups=4, bias=False),
        nn.ConvTranspose1d(12, 8, 3, stride=2, padding=1, output_padding=1, groups=2),
    ],
)
def test_rows_are_images_of_height_1(layer: nn.Module) -> None:
    module = small.randomised(_Net(layer, rows=True))
    graph = small.graph_of(module, rows_as_images=rows_as_images.REWRITE)
    assert graph.rewrites == ("rows_as_images",)
    kinds = {str(n.target) for n in graph.program.graph.nodes if n.op == "call_function"}
    assert not {kind for kind in kinds if "1d" in kind}
    images = small.images(2)
    assert small.db(torch.cat([module(image[None]) for image in images]), run(graph, images)[0][0]) > 120
