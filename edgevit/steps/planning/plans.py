"""The plans of a run: decided or given back, what each site costs alone, and what stays in float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.results.report import AutoFloat, Limits, SiteLoss
from edgevit.core.types import Graph
from edgevit.steps.kept import NOTHING, Kept, array_digest, plan_digest
from edgevit.steps.planning.auto_float import HeldOut, leave_float
from edgevit.steps.planning.graph_variants import GraphVariants
from edgevit.steps.simulate import same_arithmetic

if TYPE_CHECKING:
    import torch

Losses = tuple[SiteLoss, ...]
# What sites cost settles with few images, and each takes several passes through the model and back.
IMAGES = 8
FEWEST = 4
PASS_MACS = 50e9


def given_plans(stored: tuple[QuantPlan, ...], variants: GraphVariants, emit: Emit) -> tuple[QuantPlan, ...]:
    """The plans of a file for all backends of `variants`, each held against the graph that it belongs to.

    Args:
        stored: as `given_plan.read` gave them, one for each backend.

    Raises:
        InputError: for another model, or not to be executed.
    """
    from edgevit.quant.check import check_plan

    emit(Stage("checking the plan that was given"))
    return tuple(
        check_plan(plan, variants.graph_of(p), p) for plan, p in zip(stored, variants.backends, strict=True)
    )


def losses_of(
    plans: tuple[QuantPlan, ...],
    variants: GraphVariants,
    images: torch.Tensor,
    seed: int,
    emit: Emit,
    kept: Kept = NOTHING,
) -> tuple[Losses, ...]:
    """For each plan its sites with what each costs alone, worst first; one run for all plans of a graph."""
    from edgevit.program.sites import list_sites, total_macs
    from edgevit.quant.sensitivity import sensitivities

    found: dict[int, Losses] = {}
    by_file: dict[str, list[int]] = {}
    for index, plan in enumerate(plans):
        by_file.setdefault(variants.file_of(plan.capabilities), []).append(index)
    for file, members in by_file.items():
        graph = variants.graphs[file]
        count = min(IMAGES, len(images), max(FEWEST, int(PASS_MACS / max(total_macs(graph), 1))))
        macs = {site.name: site.macs for site in list_sites(graph)}

        def estimate(
            missing: Sequence[int],
            graph: Graph = graph,
            members: Sequence[int] = members,
            count: int = count,
            macs: Mapping[str, int] = macs,
        ) -> list[_Ranked]:
            emit(Stage("estimating what each site costs", count))
            asked = [plans[members[i]] for i in missing]
            estimated = sensitivities(graph, asked, images[:count], seed, lambda n: emit(Advance(n)))
            return [
                _Ranked(
                    tuple(
                        SiteLoss(name, costs[name], macs[name])
                        for name in sorted(costs, key=costs.__getitem__)
                    )
                )
                for costs in estimated
            ]

        looked_at = array_digest(images[:count])
        facts = [
            {
                "variant": variants.digests[file],
                "plan": plan_digest(plans[i]),
                "images": looked_at,
                "seed": seed,
            }
            for i in members
        ]
        for index, ranked in zip(
            members, kept.results_of_each(_Ranked, "costs", facts, estimate), strict=True
        ):
            found[index] = ranked.losses
    return tuple(found[index] for index in range(len(plans)))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """What the sites of one plan cost, worst first."""

    losses: Losses


@dataclass(frozen=True, slots=True)
class Account:
    """What a plan costs: its sites, worst first, and what was left in float; None where that was not asked for."""

    sensitivity: Losses
    auto_float: AutoFloat | None


def account_for(
    plans: tuple[QuantPlan, ...],
    variants: GraphVariants,
    images: torch.Tensor,
    judge: tuple[HeldOut, Limits] | None,
    keep_float32: Mapping[str, frozenset[str]],
    seed: int,
    emit: Emit,
    kept: Kept = NOTHING,
) -> tuple[tuple[QuantPlan, ...], tuple[Account, ...]]:
    """The plans, with sites in float where limits ask for it, and what is told of each.

    Args:
        images: what sites cost is estimated on them.
        judge: held-out images and what has to hold on them; None to leave the plans as they are.
    """
    losses = losses_of(plans, variants, images, seed, emit, kept)
    auto_floats: tuple[AutoFloat | None, ...] = (None,) * len(plans)
    if judge is not None:
        plans, auto_floats = _keep_limits(plans, losses, variants, *judge, keep_float32, emit)
    return plans, tuple(
        Account(_remaining(plan, ranked), auto)
        for plan, ranked, auto in zip(plans, losses, auto_floats, strict=True)
    )


def _keep_limits(
    plans: tuple[QuantPlan, ...],
    losses: tuple[Losses, ...],
    variants: GraphVariants,
    images: HeldOut,
    limits: Limits,
    keep_float32: Mapping[str, frozenset[str]],
    emit: Emit,
) -> tuple[tuple[QuantPlan, ...], tuple[AutoFloat, ...]]:
    """Each plan with as many of its worst sites in float as the limits ask for; twins are tried once."""
    from edgevit.program.sites import total_macs

    done: list[tuple[QuantPlan, AutoFloat]] = []
    for index, plan in enumerate(plans):
        duplicate = next((i for i in range(index) if same_arithmetic(plans[i], plan)), None)
        if duplicate is not None:
            changed, auto_floats = done[duplicate]
            names = (plan.target, plan.precision, plan.capabilities)
            done.append(
                (replace(changed, target=names[0], precision=names[1], capabilities=names[2]), auto_floats)
            )
            continue
        file = variants.file_of(plan.capabilities)
        graph = variants.graphs[file]
        done.append(
            leave_float(
                plan, losses[index], graph, images, limits, keep_float32[file], total_macs(graph), emit
            )
        )
    return tuple(plan for plan, _ in done), tuple(auto_floats for _, auto_floats in done)


def _remaining(plan: QuantPlan, losses: Losses) -> Losses:
    planned = {site.site for site in plan.sites}
    return tuple(loss for loss in losses if loss.site in planned)
