"""Give activations of a plan 16 bits that have 8: the way out for sensitive layers where there is no float.

The ranges stay as they are, so that every value of the old grid is one of the new (`edgevit.quant.whole_graph`, 3),
and so do the rounded weights. An int32 bias is counted in steps of the input's scale, and gets 257 times as many.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from edgevit.core.plans import QuantPlan, SitePlan, tensor_name
from edgevit.core.quant_params import WIDE, QuantParams
from edgevit.core.types import Graph
from edgevit.core.widths import symmetric, widened
from edgevit.program.sites import list_sites, site_of
from edgevit.quant import whole_graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def widen(plan: QuantPlan, graph: Graph, names: Collection[str]) -> QuantPlan:
    """The plan with the outputs of the sites `names`, and all that shares a grid with them, in 16 bits."""
    wide = plan.capabilities.wide
    assert wide is not None, plan.target
    activations = whole_graph.find(graph)
    macs = {site.name: site.macs for site in list_sites(graph)}
    groups = {activations.group[name] for name in names}
    nodes = {site_of(n): n for n in graph.program.graph_module.graph.nodes if n.op == "call_function"}
    tensors = dict(plan.tensors)
    sites = []
    for planned in plan.sites:
        node = nodes[planned.site]
        reads = [activations.group[site_of(n)] for n in whole_graph.operands(node, activations.constant)]
        if groups.isdisjoint((activations.group[planned.site], *reads)):
            sites.append(planned)
            continue
        assert planned.output is not None
        to_wide = activations.group[planned.site] in groups
        output = widened(planned.output, wide) if to_wide else planned.output
        entry = None if planned.input is None else widened(planned.input, wide)
        rhs = None if planned.rhs is None else widened(planned.rhs, wide)
        right = whole_graph.right_side(node, activations.constant) if macs[planned.site] else None
        if rhs is not None and right == 1:
            rhs = symmetric(rhs)
        if entry is not None and right == 0:
            entry = symmetric(entry)
        if planned.input is not None and entry is not None and planned.input.dtype not in WIDE:
            _count_bias_anew(tensors, planned, entry)
        constants = planned.constants
        if planned.input is None or planned.input.dtype not in WIDE:
            constants = tuple(_constant(params, planned.kind, i, wide) for i, params in enumerate(constants))
        if whole_graph.keeps_grid(node):
            constants = (output,) * len(constants)
        sites.append(replace(planned, input=entry, rhs=rhs, output=output, constants=constants))
    return replace(plan, sites=tuple(sites), tensors=tensors)


def _count_bias_anew(tensors: dict[str, NDArray[np.generic]], planned: SitePlan, entry: QuantParams) -> None:
    import numpy as np

    name = tensor_name(planned.site, "bias")
    assert planned.input is not None
    if planned.bias == "int32" and name in tensors:
        steps = np.asarray(tensors[name], np.float64) * (planned.input.scale[0] / entry.scale[0])
        limit = 2**31 - 1
        tensors[name] = np.clip(np.round(steps), -limit, limit).astype(np.int32)


def _constant(params: QuantParams, kind: str, index: int, wide: str) -> QuantParams:
    """The grid of a constant in an operation that computes in 16 bits now."""
    if params.dtype == "int32":
        return replace(params, scale=(params.scale[0] / 257,))
    found = widened(params, "uint16" if wide == "uint16" else "int16")
    return symmetric(found) if whole_graph.is_gain(kind, index) else found
