"""Which activations of an NPU's w8a8 take 16 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.errors import UsageError
from edgevit.core.precisions import Precision
from edgevit.core.types import Stats
from edgevit.program.sites import list_sites
from edgevit.quant import whole_graph
from edgevit.quant.plan_whole_graph import WORTH, choose_wide, group_costs, wide_macs
from tests.converters import _small_models as models

QNN = {"backend": "qnn"}


class Residual(nn.Module):
    """Layers between sums."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.up = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 32)
        self.down, self.head = nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(image).flatten(2).transpose(1, 2) + 0.5
        tokens = tokens + self.down(torch.relu(self.up(tokens)))
        out: torch.Tensor = self.head(tokens.mean(1) * 2)
        return out


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_is_left_in_8_bits_is_not_worth_16_or_does_not_fit(share: float) -> None:
    graph = models.graph_of(Residual())
    activations = whole_graph.find(graph)
    # each costs half of the one before it, those without multiply-accumulates among them
    costs = {maker: 0.5**index for index, maker in enumerate(activations.makers)}
    stats = Stats({(name, "range_sensitivity"): np.asarray([cost]) for name, cost in costs.items()}, 1)
    capabilities = TARGET.capabilities(Precision.W8A8, QNN)
    assert capabilities is not None
    sites = {site.name: site for site in list_sites(graph)}
    wide = choose_wide(graph, activations, sites, stats, replace(capabilities, float_macs=share))
    cost_of, macs = group_costs(activations, stats), wide_macs(graph, activations, sites)
    left = sum(cost for group, cost in cost_of.items() if group not in wide)
    budget = share * sum(site.macs for site in sites.values())
    spent = sum(macs.get(group, 0) for group in wide)
    assert spent <= budget
    for group in set(cost_of) - wide:
        assert cost_of[group] <= WORTH * left or macs.get(group, 0) > budget - spent, group
    assert wide or share < 1


def test_the_share_in_16_bits_may_be_any_on_an_npu() -> None:
    usual = TARGET.capabilities(Precision.W8A8, QNN)
    assert usual is not None and usual.float_macs == pytest.approx(0.15)
    for share in ("0", "1"):
        given = {**QNN, "float_macs": share}
        TARGET.check_options(given)
        found = TARGET.capabilities(Precision.W8A8, given)
        assert found is not None and found.float_macs == float(share)
    with pytest.raises(UsageError, match="onnx.float_macs must be a number from 0 to 1"):
        TARGET.check_options({**QNN, "float_macs": "1.1"})
