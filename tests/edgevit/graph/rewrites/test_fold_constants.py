"""What depends on weights alone is computed once."""

from __future__ import annotations

import torch
from torch import nn

from edgevit.graph.rewrites import fold_constants
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r


def test_a_gathered_bias_and_the_network_that_makes_it_become_one_table() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        table = 16 * torch.sigmoid(self.mlp(self.coordinates))
        return x + table[self.index.view(-1)].view(16, 16, 3).permute(2, 0, 1).unsqueeze(0)

    module = r.Lines(
        forward,
        mlp=nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)),
        coordinates=torch.linspace(-1, 1, 62).view(31, 2),
        index=torch.arange(256) % 31,
    )
    graph = r.rewritten(small.randomised(module), fold_constants.REWRITE)
    assert r.kinds(graph) == {"add": 1}
    assert len(graph.program.state_dict) == 1
    assert r.difference(graph, module) > 300


def test_made_from_nothing_is_constant_too() -> None:
    module = r.Lines(lambda _, x: x + torch.arange(16.0) * torch.ones(16, 1))
    graph = r.rewritten(module, fold_constants.REWRITE)
    assert r.kinds(graph) == {"add": 1}
    assert r.difference(graph, module) > 300


def test_a_small_table_is_not_blown_up(monkeypatch: object) -> None:
    module = r.Lines(
        lambda self, x: x * self.gain.repeat(1, 1, 2048, 2048)[..., :16, :16], gain=torch.rand(1, 3, 1, 1)
    )
    graph = r.rewritten(module, fold_constants.REWRITE)
    assert r.kinds(graph)["repeat"] == 1
    assert sum(t.numel() for t in graph.program.state_dict.values()) == 3


def test_what_the_image_reaches_stays() -> None:
    module = r.Lines(lambda _, x: torch.relu(x) + x.mean())
    assert not r.rewritten(module, fold_constants.REWRITE).rewrites
