"""A plan that a user gives back, held against itself and its target: what is wrong without knowing the model."""

from __future__ import annotations

from collections import Counter

from edgevit.core.errors import InputError, nearest
from edgevit.core.plans import Placement, QuantPlan, SitePlan
from edgevit.program.sites import PRODUCTS, WEIGHTED, Site
from edgevit.quant import _check_site, _spare

_MOST_AXES = 8  # of an activation; an axis beyond is none


def check_alone(plan: QuantPlan, placement: Placement) -> None:
    """Raise InputError for the first thing that no model could make right, by the name of its site and field.

    Each layer is taken to be what the plan says of it: its weight has the shape of the tensor in the plan. So
    scales are counted against weights, integers against their type, and both against what the target computes.

    Args:
        placement: what the target can do, with the folds that may be made.
    """
    where = f"--plan, {plan.target} {plan.precision}"
    check_head(plan, placement)
    made = () if plan.placement is None else plan.placement.folds
    if unknown := [name for name in made if name not in placement.folds]:
        raise InputError(
            f"{where}: placement names the fold {unknown[0]}, this run makes {', '.join(placement.folds) or 'none'}",
            "folds cannot be edited: give the same --without as when the plan was made",
        )
    kinds = {kind.kind: kind for kind in placement.kinds}
    for planned in plan.sites:
        label = f"{where}, site {planned.site}"
        kind = kinds.get(planned.kind)
        if kind is None:
            raise InputError(
                f"{label}: {placement.target} {placement.precision} leaves the kind {planned.kind!r} in float",
                nearest(planned.kind, kinds) + "; take the site out of `sites` to leave it in float",
            )
        if kind.spared is not None and planned.dynamic == kind.spared:
            kind = _spare.at_run_time(kind)
        shape = None if planned.kind in PRODUCTS else _weight_shape(label, planned, plan)
        _check_site.check(label, planned, plan, _as_planned(planned), kind, placement, shape)
        _check_site.check_gate(label, planned, between=True)


def check_head(plan: QuantPlan, placement: Placement) -> None:
    """Raise InputError for another float type than the target's, other outputs, or a site that stands there twice."""
    where = f"--plan, {plan.target} {plan.precision}"
    if plan.compute != placement.compute:
        raise InputError(
            f"{where}: compute is {plan.compute}, this target computes in {placement.compute}",
            f'write "compute": "{placement.compute}"',
        )
    given = {grid.dtype for grid in plan.outputs}
    if given != ({placement.outputs} if placement.outputs else set()) or any(
        len(grid.scale) != 1 or len(grid.zero_point) != 1 or grid.scale[0] <= 0 for grid in plan.outputs
    ):
        raise InputError(
            f"{where}: `outputs` has {', '.join(sorted(given)) or 'no'} grids, this run gives outputs as "
            f"{placement.outputs or 'real numbers'}",
            "give the same --option as when the plan was made; a grid of an output has one scale and one zero point",
        )
    twice = [name for name, count in Counter(s.site for s in plan.sites).items() if count > 1]
    if twice:
        raise InputError(f"{where}: site {twice[0]} stands in it twice", "take one of the two out")


def _weight_shape(label: str, planned: SitePlan, plan: QuantPlan) -> tuple[int, ...]:
    """Of the planned integers; any other shape is found once the model is known."""
    name = f"{planned.site}.weight"
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
