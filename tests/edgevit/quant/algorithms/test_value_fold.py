"""Scales of V moved into the projection: the model stays, the projection's input becomes even."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from calibration.collect import collect
from calibration.observers import channel_absmax
from edgevit.core.types import Graph, Stats
from edgevit.graph.run import run
from edgevit.graph.sites import site_of
from edgevit.quant.algorithms import value_fold
from edgevit.quant.plan import wanted_tensors
from edgevit.registries import REWRITES
from tests.edgevit.graph import _small as small

PROJECTIONS = ("attn.0.proj:linear", "attn.1.proj:linear")
ALL = {name: REWRITES.get(name) for name in REWRITES.names()}
OBSERVERS = {"channel_absmax": channel_absmax.OBSERVER}


def measured(graph: Graph) -> Stats:
    return collect(
        lambda look: run(graph, small.images(), observe=lambda n, v: look(site_of(n), v))[1],
        wanted_tensors(graph, tuple(OBSERVERS)),
        OBSERVERS,
        len(small.images()),
    )


def largest(graph: Graph, projection: str) -> torch.Tensor:
    """Of each channel that enters a projection, over all images and tokens."""
    entered: dict[str, torch.Tensor] = {}

    def look(node: torch.fx.Node, value: torch.Tensor) -> dict[str, torch.Tensor]:
        return {site_of(node): value} if isinstance(value, torch.Tensor) else {}

    entered = run(graph, small.images(), observe=look)[1]
    node = next(n for n in graph.program.graph_module.graph.nodes if site_of(n) == projection)
    return entered[site_of(node.args[0])].abs().flatten(0, -2).amax(0)


class Uneven(small.Vit):
    """Channels of V that differ by a factor of 1,000, others in each head."""

    def __init__(self) -> None:
        super().__init__()
        small.randomised(self)
        for index, attn in enumerate(self.attn):
            factor = torch.logspace(0, 3, 8)[
                torch.randperm(8, generator=torch.Generator().manual_seed(index))
            ]
            assert isinstance(attn, small.Attention)
            attn.qkv.weight[16:] *= factor[:, None]
            attn.qkv.bias[16:] *= factor
            attn.proj.weight /= factor


def test_the_model_stays_and_each_channel_is_divided_by_its_own_factor() -> None:
    module = Uneven()
    graph = small.graph_of(module, **ALL)
    before = [largest(graph, name) for name in PROJECTIONS]
    weights = [module.attn[i].proj.weight.clone() for i in range(2)]
    outputs = run(graph, small.images())[0][0]
    assert value_fold.apply(graph, measured(graph)) == PROJECTIONS
    assert small.db(outputs, run(graph, small.images())[0][0]) > 110
    for name, old, weight in zip(PROJECTIONS, before, weights, strict=True):
        wanted = old**0.7 / weight.abs().amax(0) ** 0.3
        wanted /= wanted.log().mean().exp()
        new = largest(graph, name)
        torch.testing.assert_close(new, old / wanted, rtol=1e-4, atol=0)
        assert float(new.max() / new.min()) < float(old.max() / old.min()) / 10


class ReadTwice(nn.Module):
    """V is added to the result as well, as in networks with a positional path of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.qkv, self.proj = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.qkv(self.patch(image).flatten(2).transpose(1, 2))
        q, k, v = value.reshape(len(value), 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v + v
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(len(value), 4, 8))
        return out


class Tied(small.Attention):
    """The rows that make V make K too: what K is read for would change with them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.qkv(self.patch(image).flatten(2).transpose(1, 2))
        q, v = (
            part.reshape(len(value), 4, 2, 4).transpose(1, 2) for part in (value[..., :8], value[..., 8:16])
        )
        mixed = (q @ v.transpose(-2, -1)).softmax(-1) @ v
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(len(value), 4, 8))
        return out


@pytest.mark.parametrize("module", [ReadTwice, Tied])
def test_what_others_read_as_well_stays(module: type[nn.Module]) -> None:
    graph = small.graph_of(small.randomised(module()), **ALL)
    assert value_fold.apply(graph, measured(graph)) == ()
