"""A plan without float that a user gives back: does every operation have its grids, and do they fit?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import InputError, nearest
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import WIDE, QuantParams
from edgevit.core.types import Graph
from edgevit.core.widths import symmetric, widened
from edgevit.program.sites import MULTIPLYING, WEIGHTED, list_sites, site_of
from edgevit.quant import _check_site, whole_graph
from edgevit.quant.weights import constants

if TYPE_CHECKING:
    import torch

_AGAIN: Final = (
    "write what `edgevit quantize` writes there; a backend without float arithmetic leaves nothing out"
)


def check_site_alone(label: str, planned: SitePlan, capabilities: BackendCapabilities) -> None:
    """Raise InputError for what no model could make right: types, numbers of scales, a weight that is no int8."""
    allowed = {capabilities.activations, capabilities.wide} - {None}
    grids = (("input", planned.input), ("rhs", planned.rhs), ("output", planned.output))
    if planned.output is None:
        raise InputError(
            f"{label}: its output is float, {capabilities.backend} computes nothing in float", _AGAIN
        )
    for name, params in grids:
        if params is None:
            continue
        # the right side of a product in 16 bits is symmetric: `input` is one where a constant stands on the left
        right = name == "rhs" or (name == "input" and planned.constants and planned.kind in MULTIPLYING)
        if params.dtype not in allowed and not (right and params.dtype in WIDE):
            raise InputError(
                f"{label}: its {name} is {params.dtype}, {capabilities.backend} takes "
                + " or ".join(sorted(str(dtype) for dtype in allowed)),
                _AGAIN,
            )
        _check_site.check_params(f"{label}: its {name}", params, 1, capabilities.scale_dtype)
    for params in planned.constants:
        _check_site.check_params(f"{label}: one of its constants", params, 1, capabilities.scale_dtype)
    if planned.dynamic is not None or planned.sigmoid is not None or planned.palette is not None:
        raise InputError(f"{label}: {capabilities.backend} takes static grids alone", _AGAIN)


def check_sites(plan: QuantPlan, graph: Graph, capabilities: BackendCapabilities, where: str) -> None:
    """Raise InputError for the first operation without grids, or with grids that do not belong to what it reads."""
    activations = whole_graph.find(graph)
    described = {site.name: site for site in list_sites(graph)}
    planned = {site.site: site for site in plan.sites}
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    weights = constants(graph)
    if unknown := next((name for name in planned if name not in described), None):
        raise InputError(
            f"{where}, site {unknown}: the model has no such site", nearest(unknown, list(described))
        )
    grids: dict[str, QuantParams] = {}
    for node in graph.program.graph_module.graph.nodes:
        if (
            node.op != "call_function"
            or node in activations.constant
            or site_of(node) not in activations.group
        ):
            continue
        name = site_of(node)
        reads = whole_graph.operands(node, activations.constant)
        if name not in described:  # a part of a split
            if (source := grids.get(site_of(reads[0]) if reads else "")) is not None:
                grids[name] = source
            continue
        if not whole_graph.is_real(node) and not isinstance(node.meta.get("val"), list | tuple):
            continue
        label, site = f"{where}, site {name}", described[name]
        found = planned.get(name)
        if found is None:
            raise InputError(f"{label}: it is not in the plan", _AGAIN)
        if found.kind != site.kind:
            raise InputError(f"{label}: its kind is {site.kind}, not {found.kind}", f'write "{site.kind}"')
        check_site_alone(label, found, capabilities)
        if site.kind in WEIGHTED and site.weight is not None:
            shape = tuple(weights[site.weight].shape)
            _check_site.check_weight(label, found, plan, site, kinds[site.kind], capabilities, shape)
        assert found.output is not None
        _check_reads(label, node, found, reads, grids)
        grids[name] = found.output


def _check_reads(
    label: str,
    node: torch.fx.Node,
    planned: SitePlan,
    reads: tuple[torch.fx.Node, ...],
    grids: dict[str, QuantParams],
) -> None:
    for source, params in zip(reads, (planned.input, planned.rhs), strict=False):
        own = grids.get(site_of(source))
        if own is None:
            continue  # the model's input, which has the grid that it is read in
        allowed = [own, widened(own, "uint16"), widened(own, "int16")]
        allowed += [symmetric(grid) for grid in allowed]
        if params not in allowed:
            raise InputError(
                f"{label}: what it reads of {site_of(source)} has another grid than that gives", _AGAIN
            )
        if whole_graph.keeps_grid(node) and planned.output != own:
            raise InputError(
                f"{label}: it only moves values of {site_of(source)}, whose grid it keeps", _AGAIN
            )
