"""Products of two activations in integers: planned, simulated, and left in float where they must."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import nn

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.types import Graph
from edgevit.program.run import run
from edgevit.program.sites import list_sites
from edgevit.quant.algorithms import output_aware
from edgevit.quant.plan import make_plan, measure_output_sensitivity
from edgevit.quant.simulate import SiteSimulator, simulate
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import CHOICES, fake, measured, sharper


@cache
def products() -> tuple[Graph, torch.Tensor, QuantPlan]:
    kinds = tuple(OpCapabilities(kind, "int8", None, "float32") for kind in ("linear", "qk", "av"))
    capabilities = BackendCapabilities("test", "w8a8", "float16", kinds, "float16")
    graph, images = small.vit_graph(), small.images(20)
    stats = measure_output_sensitivity(
        graph, images, measured(graph, images, capabilities), (capabilities,), output_aware.ALGORITHM, 0
    )
    return graph, images, make_plan(graph, stats, images, capabilities, sharper())


def test_products_of_two_activations_take_a_grid_for_each_operand() -> None:
    """What softmax makes lies between 0 and 1, and a grid of it wastes nothing below."""
    graph, _, plan = products()
    sites = {s.name: s for s in list_sites(graph)}
    kinds = [s.kind for s in plan.sites]
    assert kinds.count("qk") == kinds.count("av") == len([s for s in sites.values() if s.kind == "av"]) > 0
    for planned in plan.sites:
        assert (planned.rhs is not None) == (planned.kind in ("qk", "av")) == (planned.weight is None)
        if planned.kind == "av":
            assert planned.input is not None and planned.input.zero_point == (-128,)
            assert 0 < planned.input.scale[0] <= 1.001 / 255


def test_a_layer_behind_integer_products_sees_what_they_lose() -> None:
    """The rounded products, in the simulation and computed here, up to float16."""
    graph, images, plan = products()
    simulator = SiteSimulator(graph, plan)
    for kind in ("qk", "av"):
        part = next(s for s in plan.sites if s.kind == kind)
        assert part.input is not None and part.rhs is not None
        first = torch.rand(simulator.shapes(part.site)[0], generator=torch.Generator().manual_seed(0))
        second = torch.randn(simulator.second_shape(part.site), generator=torch.Generator().manual_seed(1))
        wanted = fake(first, part.input) @ fake(second, part.rhs)
        assert torch.allclose(simulator.run(part.site, first, second), wanted, rtol=2e-3, atol=1e-3)
    alone = simulate(graph, plan, images)[0]
    linear = replace(plan, sites=tuple(s for s in plan.sites if s.weight is not None))
    without = simulate(graph, linear, images)[0]
    real = run(graph, images)[0][0]
    assert 15 < small.db(real, alone) < small.db(real, without) + 3


def test_a_product_with_what_is_the_same_for_all_images_stays_float() -> None:
    """Learned queries, through a linear layer, are made by no image."""

    class Pool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.latent = nn.Parameter(torch.randn(1, 2, 8))
            self.q, self.kv = nn.Linear(8, 8), nn.Linear(small.SIZE**2, 16)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            key, value = self.kv(image.flatten(2)).chunk(2, -1)
            query = self.q(self.latent)
            return nn.functional.scaled_dot_product_attention(query, key, value)

    torch.manual_seed(0)
    graph, images = small.graph_of(Pool().eval()), small.images(6)
    kinds = tuple(OpCapabilities(kind, "int8", None, "float32") for kind in ("linear", "qk", "av"))
    capabilities = BackendCapabilities("test", "w8a8", "float16", kinds)
    plan = make_plan(graph, measured(graph, images, capabilities), images, capabilities, CHOICES)
    assert [s.kind for s in plan.sites] == ["linear", "av"]
    assert all("constant" in reason for _, reason in plan.skipped) and len(plan.skipped) == 2
