"""Decide once: measure ranges, choose scales and round weights, for every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import Clustering, Range, Rounding
from edgevit.core.process.memory import give_back
from edgevit.core.progress import Advance, Emit, Event, FileDone, Stage
from edgevit.core.results.report import Reconstruction
from edgevit.core.types import Graph, Stats
from edgevit.program.side_by_side import each
from edgevit.steps import messages, named_outputs
from edgevit.steps.kept import NOTHING, Kept, array_digest
from edgevit.steps.planning.algorithms import CLUSTERING, RANGE, ROUNDING, find
from edgevit.steps.planning.calibrate import measure, part_for
from edgevit.steps.planning.graph_variants import GraphVariants
from edgevit.steps.undecidable_limits import too_few_to_tune

if TYPE_CHECKING:
    import torch

    from edgevit.quant._site import Choices


def measure_all(
    variants: GraphVariants, calibration: torch.Tensor | None, seed: int, emit: Emit, kept: Kept = NOTHING
) -> dict[str, Stats]:
    """File of each graph -> what the plans that belong to it have to know about its activations."""
    asked: dict[str, list[BackendCapabilities]] = {}
    for capabilities in variants.backends:
        asked.setdefault(variants.file_of(capabilities), []).append(capabilities)
    several = sum(any(messages.quantize_activations(p.kinds) for p in group) for group in asked.values()) > 1
    found = {}
    for file, backends in asked.items():
        names = ", ".join(dict.fromkeys(p.target for p in backends))
        told = _for(names, emit) if several else emit
        facts = _facts(variants, file, calibration, seed)
        graph = variants.graphs[file]
        found[file] = kept.stats_of_each(
            facts,
            tuple(dict.fromkeys(backends)),
            partial(_measured, graph, calibration, seed, told),
            partial(part_for, graph),
        )
    return found


def _measured(
    graph: Graph,
    calibration: torch.Tensor | None,
    seed: int,
    emit: Emit,
    backends: tuple[BackendCapabilities, ...],
) -> Stats:
    return measure(graph, calibration, backends, seed, emit)


def _facts(
    variants: GraphVariants, file: str, calibration: torch.Tensor | None, seed: int
) -> dict[str, object]:
    """What is decided for a graph depends on, besides the backend."""
    return {"variant": variants.digests[file], "images": array_digest(calibration), "seed": seed}


def _for(names: str, emit: Emit) -> Emit:
    """Tells for which targets a stage is done."""

    def told(event: Event) -> None:
        emit(replace(event, name=f"{event.name} for {names}") if isinstance(event, Stage) else event)

    return told


def plan_all(
    variants: GraphVariants,
    stats: Mapping[str, Stats],
    calibration: torch.Tensor | None,
    reconstruct: float,
    seed: int,
    emit: Emit,
    kept: Kept = NOTHING,
) -> tuple[tuple[QuantPlan, ...], tuple[Reconstruction | None, ...]]:
    """A plan for each backend; those that differ in the target's name alone are decided once.

    Args:
        stats: file of a graph -> what is known of its activations.
        reconstruct: seconds for tuning the blocks of a plan, 0 for none.

    Returns:
        The plans, and what tuning did to each.

    Raises:
        UsageError: too few images to tune with.
    """
    from edgevit.program.sites import list_sites
    from edgevit.quant._site import Choices
    from edgevit.quant.plan import make_plan
    from edgevit.quant.reconstruct import FEWEST, Tuner, held_out

    backends = variants.backends
    own = [p for i, p in enumerate(backends) if not any(_same_but_name(q, p) for q in backends[:i])]
    operations = sum(len(list_sites(variants.graph_of(p))) for p in own)
    emit(Stage("deciding scales and rounding", operations * (2 if reconstruct else 1)))
    if reconstruct and (calibration is None or len(calibration) < 2 * FEWEST):
        raise too_few_to_tune(2 * FEWEST)

    choices = Choices(find(RANGE, Range), find(ROUNDING, Rounding), find(CLUSTERING, Clustering))
    advance: Callable[[int], None] = lambda n: emit(Advance(n))  # noqa: E731
    by_file: dict[str, list[BackendCapabilities]] = {}
    for capabilities in own:
        by_file.setdefault(variants.file_of(capabilities), []).append(capabilities)
    made: dict[BackendCapabilities, tuple[QuantPlan, Reconstruction | None]] = {}
    failed: Exception | None = None
    for file, members in by_file.items():
        facts = _facts(variants, file, calibration, seed)
        make = partial(_decided, variants.graphs[file], stats[file], calibration, choices, advance)
        try:
            plans = kept.plans(facts, members, make, partial(_tell_done, backends, emit))
        except Exception as error:  # noqa: BLE001  the plans of other graphs are made first
            failed = failed or error
        else:
            made |= {member: (plan, None) for member, plan in zip(members, plans, strict=True)}
        give_back()
    if failed is not None:
        raise failed

    def tune(capabilities: BackendCapabilities) -> tuple[QuantPlan, Reconstruction | None]:
        assert calibration is not None, "asked for above"
        graph, known = variants.graph_of(capabilities), stats[variants.file_of(capabilities)]
        plan = made[capabilities][0]
        tuner = Tuner(graph, plan, len(calibration), reconstruct, seed)
        tuned = make_plan(graph, known, calibration, capabilities, choices, advance, tuner)
        held = calibration[held_out(len(calibration))]
        before, after = _output_db(graph, (plan, tuned), held)
        kept = tuner.kept if after > before else 0
        told = Reconstruction(tuner.blocks, tuner.tried, kept, len(held), before, max(before, after))
        give_back()
        return (tuned if after > before else plan), told

    if reconstruct:
        made = dict(zip(own, each(tune, own), strict=True))
    twins = [next(made[p] for p in own if _same_but_name(p, asked)) for asked in backends]
    plans = tuple(
        replace(plan, target=asked.target, precision=asked.precision, capabilities=asked)
        for asked, (plan, _) in zip(backends, twins, strict=True)
    )
    return plans, tuple(told for _, told in twins)


def _tell_done(backends: tuple[BackendCapabilities, ...], emit: Emit, done: BackendCapabilities) -> None:
    """A plan is there, for all that share it."""
    for asked in backends:
        if _same_but_name(done, asked):
            emit(FileDone(asked.target, asked.precision))


def _decided(
    graph: Graph,
    stats: Stats,
    calibration: torch.Tensor | None,
    choices: Choices,
    advance: Callable[[int], None],
    members: Sequence[BackendCapabilities],
) -> tuple[QuantPlan, ...]:
    from edgevit.quant.plan import make_plans

    return make_plans(graph, stats, calibration, members, choices, advance)


def _output_db(graph: Graph, plans: tuple[QuantPlan, ...], images: torch.Tensor) -> list[float]:
    """SQNR of the output that fares worst, for each plan."""
    from edgevit.program.run import run
    from edgevit.quant.simulate import simulate

    def named(outputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        return {str(index): output.numpy() for index, output in enumerate(outputs)}

    reference = named(run(graph, images)[0])
    return [named_outputs.worst("sqnr", reference, named(simulate(graph, plan, images))) for plan in plans]


def _same_but_name(first: BackendCapabilities, second: BackendCapabilities) -> bool:
    return replace(first, target=second.target, precision=second.precision) == second
