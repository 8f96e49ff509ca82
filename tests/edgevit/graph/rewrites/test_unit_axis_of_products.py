"""An axis of 1 between rows and columns goes out of linear layers and behind transposed products, nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import unit_axis_of_products
from edgevit.program.sites import list_sites
from tests.edgevit.graph.rewrites import _rewritten as r

Forward = Callable[[r.Lines, torch.Tensor], torch.Tensor]


@pytest.mark.parametrize(
    ("forward", "fired"),
    [
        (lambda self, x: self.layer(x), False),
        (lambda self, x: self.layer(x.reshape(1, 48, 1, 16)), True),
        (lambda self, x: self.layer(x[:, :1, :1]), True),
        (lambda _, x: (x[:, 0] @ x[:, 1].sigmoid()).reshape(1, 16, 1, 16) + 1, True),
        (lambda _, x: (x[:, 0] @ x[:, 1].permute(0, 2, 1)).reshape(1, 16, 1, 16) + 1, True),
        (lambda _, x: (x[0] @ x[0].sigmoid()).reshape(3, 16, 1, 16) * 2, True),
        (lambda _, x: (x[:, 0] @ x[:, 1]).reshape(1, 16, 4, 4) + 1, False),
        (lambda _, x: (x[:, 0] + x[:, 1]).reshape(1, 16, 1, 16) + 1, False),
    ],
)
def test_the_axis_moves_and_the_values_stay(forward: Forward, fired: bool) -> None:
    module = r.Lines(forward, layer=nn.Linear(16, 5))
    graph = r.rewritten(module, unit_axis_of_products.REWRITE)
    assert bool(graph.rewrites) is fired
    assert r.difference(graph, module) > 120


def test_a_layer_stays_the_site_that_it_was() -> None:
    module = r.Lines(lambda self, x: self.layer(x.reshape(1, 48, 1, 16)), layer=nn.Linear(16, 5))
    graph = r.rewritten(module)
    (old,) = [site for site in list_sites(graph) if site.kind == "linear"]
    graph = adapt(graph, {"one": unit_axis_of_products.REWRITE}, "tflite", planned=True)
    (new,) = [site for site in list_sites(graph) if site.kind == "linear"]
    assert (new.name, new.weight, new.macs) == (old.name, old.weight, old.macs) and new.shape == (1, 48, 5)
