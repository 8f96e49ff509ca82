"""A plan for a backend that computes nothing in float: a grid for every activation, 8 or 16 bits wide.

Grids come first, since they are shared (`edgevit.quant.whole_graph`); then weights are rounded layer by layer, each on
what reaches it behind the operations that are decided already, as in `edgevit.quant.plan`.

Which groups take 16 bits where `activations` has 8: with c_i what rounding group i to 8 bits costs the model's output
(`edgevit.quant.output_sensitivity`) and m_i the multiply-accumulates of the layers that would compute in 16 bits with
it,

1. those with m_i = 0 (residual sums, norms) while they cost more than `WORTH` of all that is left,
2. then, by c_i / m_i, those that fit into `float_macs` of the model's multiply-accumulates and cost more than that,
3. the same anew until nothing is added: of less that is left, a group may be worth 16 bits that was not before.

It is the knapsack of `edgevit.quant.mixed_precision` with 16 bits in the place of float.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import WIDE
from edgevit.core.types import Graph, Stats
from edgevit.core.widths import is_wide, symmetric, widened
from edgevit.program.live_rows import live_rows
from edgevit.program.paired_run import Beside, apply
from edgevit.program.sites import WEIGHTED, Site, list_sites, site_of
from edgevit.quant import _affine, _site, whole_graph
from edgevit.quant._begun import Begun, empty_plan, settled_by
from edgevit.quant._site import Choices
from edgevit.quant.output_params import output_params
from edgevit.quant.weights import constants
from edgevit.quant.whole_graph import Activations

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.quant._begun import Tune

# What rounding a group to 8 bits has to cost, of all that rounding costs, to be worth 16.
WORTH: Final = 0.01


def plan_whole_graph(
    graph: Graph,
    stats: Stats,
    images: torch.Tensor | None,
    capabilities: BackendCapabilities,
    choices: Choices,
    tune: Tune | None,
) -> Begun:
    """Choose the grids of all activations and the rounded weights; arguments as of `make_plan`."""
    assert images is not None, "activations are measured"
    activations = whole_graph.find(graph)
    sites = {site.name: site for site in list_sites(graph)}
    wide = choose_wide(graph, activations, sites, stats, capabilities)
    grids = whole_graph.activation_grids(activations, stats, capabilities, choices.ranges, wide)
    weights = constants(graph)
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    rows = live_rows(graph)
    done: dict[str, SitePlan] = {}
    tensors: dict[str, NDArray[np.generic]] = {}
    empty = empty_plan(graph, capabilities)

    def so_far() -> QuantPlan:
        return replace(empty, sites=tuple(done.values()), tensors=dict(tensors))

    def decide(node: torch.fx.Node, real: tuple[Any, ...], planned: tuple[Any, ...]) -> Any:
        name = site_of(node)
        if name not in sites or name not in grids:
            return None  # part of a split, or no real numbers
        site = sites[name]
        reads = whole_graph.operands(node, activations.constant)
        output = grids[name]
        entering = [grids[site_of(source)] for source in reads]
        computes_wide = is_wide(output, *entering) or site.kind in capabilities.wide_kinds
        if computes_wide and capabilities.wide is not None:
            entering = [widened(params, capabilities.wide) for params in entering]
            if site.macs and (right := whole_graph.right_side(node, activations.constant)) is not None:
                entering[right] = symmetric(entering[right])  # see converters/onnx/whole_graph.py
        if site.kind in WEIGHTED and site.weight is not None:
            live = rows.get(name) if site.kind == "linear" else None
            seen = _site.Seen(node, _of_rows(real[0], live), _of_rows(planned[0], live))
            bias = None if site.bias is None else weights[site.bias]
            found = _site.decide(
                site,
                kinds[site.kind],
                capabilities,
                weights[site.weight],
                bias,
                stats,
                choices,
                seen,
                keep_8bit=True,
                grids=_site.Grids(entering[0], output),
            )
            done[name] = found.plan
            tensors.update(found.tensors)
            return _site.execute(node, found, planned)
        given = whole_graph.leaves(node, planned)
        fixed: dict[torch.fx.Node, Any] = {}
        for source in node.all_input_nodes:
            if source in activations.constant:
                fixed[source] = given[source]
        real_constants = whole_graph.real_constants(node, activations.constant)
        if whole_graph.keeps_grid(node):
            own = (output,) * len(real_constants)
        else:
            own = whole_graph.constant_grids(
                site.kind,
                [fixed[source] for source in real_constants],
                entering[0] if entering else None,
                whole_graph.activation_type(capabilities, computes_wide),
            )
        for source, params in zip(real_constants, own, strict=True):
            fixed[source] = _affine.fake_quantize(fixed[source], params)
        plan = SitePlan(
            site=name,
            kind=site.kind,
            input=entering[0] if entering else None,
            weight=None,
            output=output,
            bias="none",
            rhs=entering[1] if len(entering) > 1 else None,
            constants=own,
        )
        done[name] = plan
        if whole_graph.keeps_grid(node) and not own:
            return None
        values = {source: given[source] for source in node.all_input_nodes if source not in fixed}
        for source, params in zip(reads, entering, strict=True):
            values[source] = _affine.fake_quantize(values[source], params)
        return whole_graph.rounded(apply(node, fixed, values), plan)

    def finish() -> QuantPlan:
        return replace(so_far(), outputs=output_params(graph, done, stats, capabilities))

    return Begun(Beside(decide, settled_by(tune, so_far, tensors)), finish)


def _of_rows(value: torch.Tensor, rows: tuple[int, ...] | None) -> torch.Tensor:
    """The rows that count of what enters a linear layer, (N, 1, ..., rows, channels).

    All of them where those of all images are too few to measure anything on.
    """
    if rows is None or len(value) * len(rows) < _site.FEWEST_ROWS:
        return value
    return value[..., list(rows), :]


def choose_wide(
    graph: Graph,
    activations: Activations,
    sites: dict[str, Site],
    stats: Stats,
    capabilities: BackendCapabilities,
) -> frozenset[str]:
    """The groups that take 16 bits."""
    if capabilities.wide is None or capabilities.activations in WIDE:
        return frozenset()
    costs = group_costs(activations, stats)
    macs = wide_macs(graph, activations, sites)
    budget = capabilities.float_macs * sum(site.macs for site in sites.values())
    left = sum(costs.values())
    waiting = sorted(costs, key=lambda g: (-costs[g] / max(macs.get(g, 0), 1), g))
    found: set[str] = set()
    while True:
        before = len(found)
        for group in waiting:
            needed = macs.get(group, 0)
            if group in found or costs[group] <= WORTH * left or needed > budget:
                continue
            budget -= needed
            left -= costs[group]
            found.add(group)
        if len(found) == before:
            return frozenset(found)


def group_costs(activations: Activations, stats: Stats) -> dict[str, float]:
    """Group -> what 8 bits of it cost the model's output, relative; groups that nothing was measured of cost 0."""
    found: dict[str, float] = {}
    for maker in activations.makers:
        sensitivities = stats.values.get((maker, "range_sensitivity"))
        group = activations.group[maker]
        cost = 0.0 if sensitivities is None else float(sensitivities.min())
        found[group] = found.get(group, 0.0) + cost
    return found


def wide_macs(graph: Graph, activations: Activations, sites: dict[str, Site]) -> dict[str, int]:
    """Group -> the multiply-accumulates of what reads or writes it."""
    found: dict[str, int] = {}
    for node in graph.program.graph_module.graph.nodes:
        if node.op != "call_function" or node in activations.constant or site_of(node) not in sites:
            continue
        macs = sites[site_of(node)].macs
        if macs:
            names = {site_of(node), *(site_of(n) for n in whole_graph.operands(node, activations.constant))}
            for group in {activations.group[name] for name in names}:
                found[group] = found.get(group, 0) + macs
    return found
