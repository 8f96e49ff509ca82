"""Convolutions over patches as linear layers: PyTorch's convolution is the oracle, and which stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.core.types import Stats
from edgevit.program.run import run
from edgevit.program.sites import list_sites, total_macs
from edgevit.quant.algorithms import patches_as_linear
from tests.edgevit.graph import _small as small


class _Two(nn.Module):
    """Patches of the image, and of what is made of them; a product with each so that an order mixed up shows."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d | None = None) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.first(image)
        value = value * torch.linspace(0.5, 2, value.numel()).reshape(value.shape)
        return value if self.second is None else self.second(value.tanh())


CUT: dict[str, tuple[nn.Conv2d, nn.Conv2d | None]] = {
    "square": (nn.Conv2d(3, 8, 4, 4), None),
    "without a bias": (nn.Conv2d(3, 8, 8, 8, bias=False), None),
    "higher than wide": (nn.Conv2d(3, 8, (8, 2), (8, 2)), None),
    "one row of pixels": (nn.Conv2d(3, 8, (1, 4), (1, 4)), None),
    "one after the other": (nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 5, 2, 2)),
    "all of the image": (nn.Conv2d(3, 8, 16, 16), None),
}


@pytest.mark.parametrize("name", CUT)
def test_the_linear_layer_computes_what_the_convolution_does(name: str) -> None:
    module = small.randomised(_Two(*CUT[name]))
    graph = small.graph_of(module)
    macs, expected = total_macs(graph), torch.cat([module(image[None]) for image in small.images()])
    made = patches_as_linear.ALGORITHM.apply(graph, Stats({}, 0))
    assert made == tuple(f"{n}:linear" for n, m in module.named_children() if m is not None)
    assert small.db(expected, run(graph, small.images())[0][0]) > 110
    sites = {site.name: site for site in list_sites(graph)}
    assert not any(site.kind == "conv" for site in sites.values()) and total_macs(graph) == macs
    weight = module.first.weight  # type: ignore[union-attr]
    stored = graph.program.state_dict[str(sites["first:linear"].weight)]
    assert torch.equal(
        stored, weight.permute(0, 2, 3, 1).flatten(1)
    )  # pixels before channels, as images lie in TFLite
    assert max(len(site.shape) for site in sites.values()) <= 4
    assert patches_as_linear.ALGORITHM.apply(graph, Stats({}, 0)) == ()


LEFT: dict[str, nn.Conv2d] = {
    "patches that overlap": nn.Conv2d(3, 8, 4, 2),
    "pixels left out": nn.Conv2d(3, 8, 2, 4),
    "a border": nn.Conv2d(3, 8, 4, 4, padding=1),
    "pixels apart": nn.Conv2d(3, 8, 2, 2, dilation=2),
    "groups": nn.Conv2d(3, 6, 4, 4, groups=3),
    "a rest of pixels": nn.Conv2d(3, 8, 5, 5),
    "one pixel": nn.Conv2d(3, 8, 1, 1),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_convolutions_stay(name: str) -> None:
    graph = small.graph_of(small.randomised(_Two(LEFT[name])))
    before = [site.name for site in list_sites(graph)]
    assert patches_as_linear.ALGORITHM.apply(graph, Stats({}, 0)) == ()
    assert [site.name for site in list_sites(graph)] == before
