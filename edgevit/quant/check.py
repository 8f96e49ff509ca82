"""A plan that a user gives back, perhaps edited: does it fit the model, the target, and itself?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import InputError, nearest
from edgevit.core.plans import PARTS, QuantPlan, tensor_name
from edgevit.core.types import Graph
from edgevit.program.sites import Site, list_sites
from edgevit.quant import _check_site, check_whole_graph, mixed_precision
from edgevit.quant.check_alone import check_head
from edgevit.quant.output_params import output_nodes
from edgevit.quant.plan import choose_sites, in_execution_order, integer_silu_sites
from edgevit.quant.weights import constants, weights_digest

if TYPE_CHECKING:
    import torch

LEFT_OUT = "the plan that was given leaves it out"


def find_given(plans: Sequence[QuantPlan], capabilities: BackendCapabilities) -> QuantPlan:
    """The plan for the target and precision of `capabilities`.

    Raises:
        InputError: there is none, or several.
    """
    wanted = (capabilities.target, capabilities.precision)
    found = [plan for plan in plans if (plan.target, plan.precision) == wanted]
    if not found:
        has = ", ".join(f"{p.target} {p.precision}" for p in plans) or "none at all"
        raise InputError(
            f"--plan has no plan for {' '.join(wanted)}; it has {has}",
            "narrow --to and --precision to what it has, or leave --plan out",
        )
    if len(found) > 1:
        raise InputError(
            f"--plan has {len(found)} plans for {' '.join(wanted)}", "leave one of them in `plans`"
        )
    return found[0]


def check_plan(plan: QuantPlan, graph: Graph, capabilities: BackendCapabilities) -> QuantPlan:
    """The plan if all of it can be executed as it says; sites in execution order.

    What the user took out of `sites` is named in `skipped`, and its tensors are dropped.

    Args:
        graph: after the folds, on the same images as when the plan was made.

    Raises:
        InputError: the first thing that does not fit, by the name of its site.
    """
    where = f"--plan, {plan.target} {plan.precision}"
    digest = weights_digest(graph)
    if plan.graph_sha256 != digest:
        raise InputError(
            f"{where}: it was made for a model with other weights "
            f"(graph_sha256 {plan.graph_sha256[:12]}, here {digest[:12]})",
            "give the model, --weights, --prune and --without that it was made with, and the same --calibrate, "
            "--calibration-count and --seed: weights folded by what those images show belong to a plan",
        )
    if plan.capabilities.folds != capabilities.folds:
        asked, made = (", ".join(p.folds) or "none" for p in (plan.capabilities, capabilities))
        raise InputError(
            f"{where}: capabilities names the folds {asked}, its graph has {made}",
            "folds cannot be edited: switch them off with --without when a plan is made",
        )
    count = len(output_nodes(graph))
    if plan.outputs and len(plan.outputs) != count:
        raise InputError(
            f"{where}: `outputs` has {len(plan.outputs)} grids, the model has {count} outputs",
            "keep one grid for each output",
        )
    check_sites(plan, graph, capabilities)
    return _drop_left_out(plan, graph, capabilities)


def check_sites(
    plan: QuantPlan, graph: Graph, capabilities: BackendCapabilities, where: str | None = None
) -> None:
    """Raise InputError for the first site that the graph has not, or has in another form.

    Args:
        graph: after the folds that need no images; the others change the values of weights, which nothing here
            looks at.
        where: what messages begin with, if the plan was not given by the user.
    """
    where = where or f"--plan, {plan.target} {plan.precision}"
    check_head(plan, capabilities, where)
    if capabilities.activations is not None:
        check_whole_graph.check_sites(plan, graph, capabilities, where)
        return
    described = {site.name: site for site in list_sites(graph)}
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    weights = constants(graph)
    possible, never = choose_sites(graph, capabilities)
    gated = integer_silu_sites(graph, capabilities, possible)
    for planned in plan.sites:
        label = f"{where}, site {planned.site}"
        site = described.get(planned.site)
        if site is None:
            raise InputError(
                f"{label}: the model has no such site", nearest(planned.site, [s.name for s in possible])
            )
        if planned.kind != site.kind:
            raise InputError(f"{label}: its kind is {site.kind}, not {planned.kind}", f'write "{site.kind}"')
        if reason := dict(never).get(planned.site):
            raise InputError(
                f"{label}: {capabilities.target} cannot make it integer: {reason}",
                "give each --option that the plan was made with, or take the site out of `sites`",
            )
        if planned.site not in {s.name for s in possible}:
            raise InputError(f"{label}: it has nothing to quantize", "take it out of `sites`")
        kind = kinds[site.kind]
        if kind.fallback is not None and planned.dynamic == kind.fallback:
            kind = mixed_precision.with_fallback(kind)
        _check_site.check(label, planned, plan, site, kind, capabilities, _shapes(site, weights))
        _check_site.check_sigmoid(label, planned, planned.site in gated)


def _shapes(site: Site, weights: dict[str, torch.Tensor]) -> tuple[int, ...] | None:
    return None if site.weight is None else tuple(weights[site.weight].shape)


def _drop_left_out(plan: QuantPlan, graph: Graph, capabilities: BackendCapabilities) -> QuantPlan:
    """In execution order, with a reason for every site that is not in it and no tensors but the sites' own."""
    if capabilities.activations is not None:
        return replace(plan, capabilities=capabilities)
    possible, never = choose_sites(graph, capabilities)
    planned = {site.site: site for site in plan.sites}
    reasons = dict(plan.skipped)
    left = tuple((s.name, reasons.get(s.name, LEFT_OUT)) for s in possible if s.name not in planned)
    kept = {tensor_name(name, part) for name in planned for part in PARTS}
    return replace(
        plan,
        sites=tuple(planned[s.name] for s in list_sites(graph) if s.name in planned),
        skipped=in_execution_order(graph, (*never, *left)),
        tensors={name: array for name, array in plan.tensors.items() if name in kept},
        capabilities=capabilities,
    )
