"""From the float model to plans, and to what each of them costs: fold, measure, decide, simulate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Emit
from edgevit.core.results.report import KeptFloat32, RangeFit, Reconstruction
from edgevit.core.types import Stats
from edgevit.steps import messages, named_outputs, open
from edgevit.steps.doubts import compare_images
from edgevit.steps.float_model import FloatModel
from edgevit.steps.kept import Kept
from edgevit.steps.messages import PrepareRequest, SimulatedPlan
from edgevit.steps.planning.decide import measure_all, plan_all
from edgevit.steps.planning.graph_variants import GraphVariants, fold
from edgevit.steps.planning.plans import Account, account_for, given_plans
from edgevit.steps.simulate import simulate_all


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was decided; the plans themselves are in the work folder.

    Attributes:
        simulated: one for each plan.
        folded: the sites that a fold changed.
        unlike: what tells the evaluation images from the calibration images.
        constant: activations that have one value throughout, in one sentence each.
        graphs: file of each graph -> digest of what it computes, with the user's code; nothing without a cache.
    """

    simulated: tuple[SimulatedPlan, ...]
    folded: tuple[str, ...]
    unlike: tuple[str, ...]
    constant: tuple[str, ...]
    graphs: Mapping[str, str]


def quantize(asked: PrepareRequest, model: FloatModel, emit: Emit, lap: Callable[[str], None]) -> Quantized:
    """Make a plan for each backend, or take those that were given, and simulate them.

    Args:
        lap: is told the name of each stage as it ends.
    """
    from calibration.suspicious import constant_activations
    from edgevit.quant import plan_file

    recipe, work, images = asked.recipe, Path(asked.work), model.images
    given, backends = open.possible(asked, model.given, model.left_out)
    kept = model.kept
    variants = fold(model.graph, images.calibration, backends, work, emit, kept)
    graphs = _digests(variants, kept)
    # a plan that is given needs the same folds on the same images, and nothing else of them
    stats = {} if recipe.plan is not None else measure_all(variants, model.deciding, recipe.seed, emit, kept)
    lap("calibrate")
    plans, tuned = _plans(asked, model, given, variants, stats, emit)
    keep = _keep_float32(model, variants)
    judge = None if model.held_out is None or asked.auto_float is None else (model.held_out, asked.auto_float)
    looked_at = model.inputs if model.deciding is None else model.deciding
    plans, accounts = account_for(plans, variants, looked_at, judge, keep, recipe.seed, emit, kept)
    (work / messages.PLANS).mkdir()
    plan_file.save(plans, work / messages.PLANS, model.made_with)
    fits, unlike = compare_images.compare(
        plans,
        tuple(map(variants.graph_of, variants.backends)),
        None if images.calibrate is None else images.calibrate.pixels,
        None if images.evaluate.described is None else images.evaluate.pixels,
        model.spec.preprocess,
        emit,
    )
    head = named_outputs.head(model.reference, len(model.inputs))
    simulated = simulate_all(work, plans, variants, model.inputs, head, recipe.seed, emit, keep, kept)
    lap("quantize")
    return Quantized(
        simulated=_with_accounts(simulated, accounts, tuned, fits),
        folded=variants.folded,
        graphs=graphs,
        unlike=unlike,
        constant=tuple(
            dict.fromkeys(text for known in stats.values() for text in constant_activations(known))
        ),
    )


def _digests(variants: GraphVariants, kept: Kept) -> dict[str, str]:
    if not kept.memory.remembered.folder:
        return {}
    code = str(kept.model["code"])
    return {file: f"{digest} {code}" for file, digest in variants.digests.items()}


def _plans(
    asked: PrepareRequest,
    model: FloatModel,
    given: tuple[QuantPlan, ...],
    variants: GraphVariants,
    stats: Mapping[str, Stats],
    emit: Emit,
) -> tuple[tuple[QuantPlan, ...], tuple[Reconstruction | None, ...]]:
    """Decided here, with what tuning did to each; or those of `--plan`, which are not tuned."""
    recipe = asked.recipe
    if recipe.plan is None:
        return plan_all(variants, stats, model.deciding, recipe.reconstruct, recipe.seed, emit, model.kept)
    plans = given_plans(given, variants, emit)
    return plans, (None,) * len(plans)


def _keep_float32(model: FloatModel, variants: GraphVariants) -> dict[str, frozenset[str]]:
    """File of each graph -> the sites of it that float16 would spoil. Folds change values, so each is scanned."""
    from edgevit.graph.float16.range_analysis import scan

    keep = dict.fromkeys(variants.graphs, _sites(model.keep_float32 or ()))
    if model.keep_float32:
        half = {variants.file_of(p) for p in variants.backends if p.compute == "float16"} - {messages.GRAPH}
        keep |= {file: _sites(scan(variants.graphs[file], model.scanned)) for file in sorted(half)}
    return keep


def _sites(kept: tuple[KeptFloat32, ...]) -> frozenset[str]:
    return frozenset(k.site for k in kept)


def _with_accounts(
    simulated: tuple[SimulatedPlan, ...],
    accounts: tuple[Account, ...],
    tuned: tuple[Reconstruction | None, ...],
    fits: tuple[RangeFit | None, ...],
) -> tuple[SimulatedPlan, ...]:
    return tuple(
        replace(
            plan,
            reconstruction=tuning,
            ranges=fit,
            sensitivity=account.sensitivity,
            auto_float=account.auto_float,
        )
        for plan, tuning, account, fit in zip(simulated, tuned, accounts, fits, strict=True)
    )
