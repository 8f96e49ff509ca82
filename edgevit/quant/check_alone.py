"""A plan that a user gives back, held against itself and its target: what is wrong without knowing the model."""

from __future__ import annotations

from collections import Counter

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import InputError, nearest
from edgevit.core.plans import QuantPlan, SitePlan, tensor_name
from edgevit.program.sites import PRODUCTS, WEIGHTED, Site
from edgevit.quant import _check_site, check_whole_graph, mixed_precision

_MOST_AXES = 8  # of an activation; an axis beyond is none


def check_alone(plan: QuantPlan, capabilities: BackendCapabilities) -> None:
    """Raise InputError for the first thing that no model could make right, by the name of its site and field.

    Each layer is taken to be what the plan says of it: its weight has the shape of the tensor in the plan. So
    scales are counted against weights, integers against their type, and both against what the target computes.

    Args:
        capabilities: what the target can do, with the folds that may be made.
    """
    where = f"--plan, {plan.target} {plan.precision}"
    check_head(plan, capabilities, where)
    made = plan.capabilities.folds
    if unknown := [name for name in made if name not in capabilities.folds]:
        raise InputError(
            f"{where}: capabilities name the fold {unknown[0]}, "
            f"this run makes {', '.join(capabilities.folds) or 'none'}",
            "folds cannot be edited: give the same --without as when the plan was made",
        )
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    for planned in plan.sites:
        label = f"{where}, site {planned.site}"
        if capabilities.activations is not None:
            check_whole_graph.check_site_alone(label, planned, capabilities)
            continue
        kind = kinds.get(planned.kind)
        if kind is None:
            raise InputError(
                f"{label}: {capabilities.target} {capabilities.precision} leaves the kind {planned.kind!r} in float",
                nearest(planned.kind, kinds) + "; take the site out of `sites` to leave it in float",
            )
        if kind.fallback is not None and planned.dynamic == kind.fallback:
            kind = mixed_precision.with_fallback(kind)
        shape = None if planned.kind in PRODUCTS else _weight_shape(label, planned, plan)
        _check_site.check(label, planned, plan, _as_planned(planned), kind, capabilities, shape)
        _check_site.check_sigmoid(label, planned, between=True)


def check_head(plan: QuantPlan, capabilities: BackendCapabilities, where: str) -> None:
    """Raise InputError for another float type than the target's, other outputs, or a site that stands there twice."""
    if plan.compute != capabilities.compute:
        raise InputError(
            f"{where}: compute is {plan.compute}, this target computes in {capabilities.compute}",
            f'write "compute": "{capabilities.compute}"',
        )
    given = {params.dtype for params in plan.outputs}
    if given != ({capabilities.outputs} if capabilities.outputs else set()) or any(
        len(params.scale) != 1 or len(params.zero_point) != 1 or params.scale[0] <= 0
        for params in plan.outputs
    ):
        raise InputError(
            f"{where}: `outputs` has {', '.join(sorted(given)) or 'no'} quantized outputs, this run gives outputs as "
            f"{capabilities.outputs or 'real numbers'}",
            "give the same --option as when the plan was made; an output has one scale and one zero point",
        )
    twice = [name for name, count in Counter(s.site for s in plan.sites).items() if count > 1]
    if twice:
        raise InputError(f"{where}: site {twice[0]} stands in it twice", "take one of the two out")


def _weight_shape(label: str, planned: SitePlan, plan: QuantPlan) -> tuple[int, ...]:
    """Of the planned integers; any other shape is found once the model is known."""
    name = tensor_name(planned.site, "weight")
    array = plan.tensors.get(name)
    if array is None:
        raise InputError(f"{label}: the tensor {name} is missing", "keep its line in `tensors`")
    if array.ndim < 2:
        raise InputError(
            f"{label}: the tensor {name} has the shape {array.shape}, the weight of a layer has 2 axes or more",
            "keep the shape of `plan.safetensors`",
        )
    return tuple(array.shape)


def _as_planned(planned: SitePlan) -> Site:
    """The layer that the plan speaks of, as far as it says."""
    axis = None if planned.output is None else planned.output.axis
    shape: tuple[int, ...] = ()
    if planned.output is not None and axis is not None and axis < _MOST_AXES:
        shape = (*(1,) * axis, len(planned.output.scale))
    weighted = planned.kind in WEIGHTED
    return Site(
        name=planned.site,
        kind=planned.kind,
        node="",
        source="",
        macs=0,
        weight="weight" if weighted else None,
        bias="bias" if weighted and planned.bias != "none" else None,
        shape=shape,
        values=0,
    )
