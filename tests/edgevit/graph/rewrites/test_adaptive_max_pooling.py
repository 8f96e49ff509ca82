"""Adaptive max pooling as plain max pooling against PyTorch's own."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgevit.graph.export import export_model
from edgevit.graph.rewrites import adaptive_max_pooling
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

SIZES = (
    (4, 4),
    (5, 7),
    (1, 1),
    (16, 3),
    (20, 16),
)  # parts of one size, of several, all, and more than there are


class _Pools(nn.Module):
    """Images of 16x16 and of three axes, rows of three axes and of two."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.conv(image)
        x = functional.interpolate(x, (16, 16))
        found = [functional.adaptive_max_pool2d(x, size) for size in SIZES]
        found += [functional.adaptive_max_pool2d(x[0], 5), functional.adaptive_max_pool1d(x[0], 5)]
        found += [functional.adaptive_max_pool1d(x.flatten(2), 77)]
        return torch.cat([value.reshape(1, -1) for value in found], 1)


def test_windows_are_those_of_pytorch() -> None:
    module = small.randomised(_Pools())
    graph = export_model(small.model_of(module), {"adaptive_max_pooling": adaptive_max_pooling.REWRITE})
    assert graph.rewrites == ("adaptive_max_pooling",)
    called = [str(n.target) for n in graph.program.graph.nodes if n.op == "call_function"]
    assert not any("adaptive" in name for name in called)
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in small.images(3)])
    assert small.db(wanted, run(graph, small.images(3))[0][0]) > 120


def test_pooling_whose_positions_are_read_is_left_alone() -> None:
    class Net(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            value, where = functional.adaptive_max_pool2d(image, 5, return_indices=True)
            return value + where

    graph = export_model(small.model_of(Net()), {"adaptive_max_pooling": adaptive_max_pooling.REWRITE})
    assert graph.rewrites == ()
    assert any("adaptive_max_pool2d" in str(node.target) for node in graph.program.graph.nodes)
