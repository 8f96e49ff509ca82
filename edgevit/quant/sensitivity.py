"""What each planned site costs alone: an estimate for all sites of several plans at once.

The error of a planned layer that is fed the float model's own input is one candidate error of that layer's
output, and `output_errors` tells what it does to the model's output, to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgevit.core.decibels import sqnr_db
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.types import Graph
from edgevit.program.sites import PRODUCTS, Site, list_sites
from edgevit.quant import _site, whole_graph
from edgevit.quant.output_sensitivity import Errors, Made, output_errors
from edgevit.quant.simulate import real_bias, real_weight
from edgevit.quant.weights import constants

if TYPE_CHECKING:
    import torch


def sensitivities(
    graph: Graph,
    plans: Sequence[QuantPlan],
    images: torch.Tensor,
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], ...]:
    """SQNR in dB of the model's output with one site planned and all others in float32.

    Args:
        plans: for this graph.
        images: float32 (N, 3, height, width).

    Returns:
        For each plan site -> dB, within -200 and 200.
    """
    described = {site.name: site for site in list_sites(graph)}
    weights = constants(graph)
    owners: dict[str, list[tuple[int, SitePlan]]] = {}
    for index, plan in enumerate(plans):
        for planned in plan.sites:
            owners.setdefault(planned.site, []).append((index, planned))

    held: dict[str, list[_site.Decided]] = {}  # of the site whose images come one after the other

    def errors_of(name: str) -> Errors:
        def errors(value: torch.Tensor, made: Made) -> Iterator[torch.Tensor]:
            if name not in held:
                held.clear()
                held[name] = [_layer(p, plans[index], described[name], weights) for index, p in owners[name]]
            for layer in held[name]:
                yield _planned(layer, value, made) - value

        return errors

    costs = output_errors(graph, images, {name: errors_of(name) for name in owners}, seed, advance)
    found: tuple[dict[str, float], ...] = tuple({} for _ in plans)
    for name, candidates in owners.items():
        for (index, _), cost in zip(candidates, costs[name].tolist(), strict=True):
            found[index][name] = sqnr_db(1.0, cost)
    return found


def _layer(planned: SitePlan, plan: QuantPlan, site: Site, weights: dict[str, torch.Tensor]) -> _site.Decided:
    """The planned operation with its real weight, where it has one."""
    if planned.weight is None and planned.palette is None:
        return _site.Decided(planned, {}, None, None)
    bias = real_bias(planned, plan)
    if bias is None and site.bias is not None:
        bias = weights[site.bias]
    return _site.Decided(planned, {}, real_weight(planned, plan), bias)


def _planned(layer: _site.Decided, value: torch.Tensor, made: Made) -> torch.Tensor:
    """The planned operation's output, (1, 1, ...), on the float model's own input; its real output is `value`."""
    planned = layer.plan
    if layer.weight is None and planned.kind not in PRODUCTS:
        assert planned.output is not None
        return whole_graph.rounded(value, planned)
    return _site.execute(made.node, layer, made.args)
