"""Decide once: fold, measure ranges, choose scales and round weights, for every placement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgevit.core._memory import give_back
from edgevit.core.errors import UsageError
from edgevit.core.plans import Placement, QuantPlan
from edgevit.core.plugins import Clustering, Fold, Range, Rounding
from edgevit.core.report import Reconstruction
from edgevit.core.types import Graph, Stats
from edgevit.flows import _outputs, _threads, _values
from edgevit.registries import ALGORITHMS, OBSERVERS

if TYPE_CHECKING:
    import torch

FOLDS = ("layernorm_fold",)
RANGE = "output_aware"
ROUNDING = "gptq"
CLUSTERING = "kmeans"
OBSERVED = ("minmax", "channel_absmax", "channel_moments")
# Derivatives are measured on this many images: the first ones say nearly all, and each costs a few passes.
EFFECT_IMAGES = 24

Emit = Callable[[dict[str, Any]], None]
# Graph file and graph, by whether a plan quantizes activations.
Graphs = dict[bool, tuple[str, Graph]]
T = TypeVar("T")


def fold(
    graph: Graph, calibration: torch.Tensor | None, placements: tuple[Placement, ...], work: Path, emit: Emit
) -> tuple[tuple[str, ...], Graphs]:
    """Folds that fired, and the graph file for plans without and with quantized activations."""
    from edgevit.graph import storage

    plain = (_values.GRAPH, graph)
    if calibration is None or not any(_values.quantize_activations(p.kinds) for p in placements):
        return (), {False: plain, True: plain}
    folded = storage.load(work / _values.GRAPH)
    algorithms = [_algorithm(name, Fold) for name in FOLDS]
    observers = tuple(dict.fromkeys(o for algorithm in algorithms for o in algorithm.observers))
    # Measured once: each fold is exact, and what it scales no other fold looks at.
    stats = _measure(folded, calibration, observers, emit)
    names = [site for algorithm in algorithms for site in algorithm.apply(folded, stats)]
    if not names:
        return (), {False: plain, True: plain}
    storage.save(folded, work / _values.FOLDED)
    return tuple(names), {False: plain, True: (_values.FOLDED, folded)}


def measure(
    graphs: Graphs,
    calibration: torch.Tensor | None,
    placements: tuple[Placement, ...],
    seed: int,
    emit: Emit,
) -> Stats:
    """What the plans that quantize activations have to know about them."""
    from edgevit.quant.plan import measure_effects

    static = any(kind.input is not None for p in placements for kind in p.kinds)
    assert calibration is not None or not static, "the command line asks for --calibrate"
    if calibration is None or not any(_values.quantize_activations(p.kinds) for p in placements):
        return Stats({}, 0)
    graph = graphs[True][1]
    stats = _measure(graph, calibration, OBSERVED, emit, placements)
    if not static:
        return stats
    count = min(EFFECT_IMAGES, len(calibration))
    emit({"stage": "measuring what ranges cost the output", "total": count})
    measured = measure_effects(
        graph,
        calibration[:count],
        stats,
        placements,
        _algorithm(RANGE, Range),
        seed,
        lambda n: emit({"advance": n}),
    )
    give_back()
    return measured


def plan_all(
    placements: tuple[Placement, ...],
    stats: Stats,
    graphs: Graphs,
    calibration: torch.Tensor | None,
    reconstruct: float,
    seed: int,
    emit: Emit,
) -> tuple[tuple[QuantPlan, ...], tuple[Reconstruction | None, ...]]:
    """A plan for each placement; those that differ in the target's name alone are decided once.

    Args:
        reconstruct: seconds for tuning the blocks of a plan, 0 for none.

    Returns:
        The plans, and what tuning did to each.

    Raises:
        UsageError: too few images to tune with.
    """
    from edgevit.graph.sites import list_sites
    from edgevit.quant._site import Choices
    from edgevit.quant.plan import make_plan
    from edgevit.quant.reconstruct import FEWEST, Tuner, kept_apart

    own = [p for i, p in enumerate(placements) if not any(_same_but_name(q, p) for q in placements[:i])]
    graph_of = {p: graphs[_values.quantize_activations(p.kinds)][1] for p in own}
    operations = sum(len(list_sites(graph)) for graph in graph_of.values())
    emit({"stage": "deciding scales and rounding", "total": operations * (2 if reconstruct else 1)})
    if reconstruct and (calibration is None or len(calibration) < 2 * FEWEST):
        raise UsageError(
            f"--reconstruct needs {2 * FEWEST} calibration images, half of which train nothing",
            "give more: --calibrate SAMPLES, --calibration-count N",
        )

    def decide(placement: Placement) -> tuple[QuantPlan, Reconstruction | None]:
        choices = Choices(
            _algorithm(RANGE, Range), _algorithm(ROUNDING, Rounding), _algorithm(CLUSTERING, Clustering)
        )
        advance: Callable[[int], None] = lambda n: emit({"advance": n})  # noqa: E731
        graph = graph_of[placement]
        plan = make_plan(graph, stats, calibration, placement, choices, advance)
        told = None
        if reconstruct and calibration is not None:
            tuner = Tuner(graph, plan, len(calibration), reconstruct, seed)
            tuned = make_plan(graph, stats, calibration, placement, choices, advance, tuner)
            apart = calibration[kept_apart(len(calibration))]
            before, after = _output_db(graph, (plan, tuned), apart)
            kept = tuner.kept if after > before else 0
            plan = tuned if after > before else plan
            told = Reconstruction(tuner.blocks, tuner.tried, kept, len(apart), before, max(before, after))
        give_back()
        return plan, told

    made = dict(zip(own, _threads.each(decide, own), strict=True))
    twins = [next(made[p] for p in own if _same_but_name(p, asked)) for asked in placements]
    plans = tuple(
        replace(plan, target=asked.target, precision=asked.precision, placement=asked)
        for asked, (plan, _) in zip(placements, twins, strict=True)
    )
    return plans, tuple(told for _, told in twins)


def _output_db(graph: Graph, plans: tuple[QuantPlan, ...], images: torch.Tensor) -> list[float]:
    """SQNR of the output that fares worst, for each plan."""
    from edgevit.graph.run import run
    from edgevit.quant.simulate import simulate

    def named(outputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        return {str(index): output.numpy() for index, output in enumerate(outputs)}

    reference = named(run(graph, images)[0])
    return [_outputs.worst("sqnr", reference, named(simulate(graph, plan, images))) for plan in plans]


def _measure(
    graph: Graph,
    images: torch.Tensor,
    observers: tuple[str, ...],
    emit: Emit,
    placements: tuple[Placement, ...] = (),
) -> Stats:
    from calibration.collect import collect
    from edgevit.graph.run import run
    from edgevit.graph.sites import site_of
    from edgevit.quant.plan import wanted_tensors

    emit({"stage": "calibrating", "total": len(images)})

    def observed(look: Callable[[str, torch.Tensor], Any]) -> dict[str, torch.Tensor]:
        def at(node: torch.fx.Node, value: Any) -> Any:
            return look(site_of(node), value) if hasattr(value, "amax") else {}

        return run(graph, images, observe=at, advance=lambda n: emit({"advance": n}))[1]

    used = {name: OBSERVERS.get(name) for name in observers}
    stats = collect(observed, wanted_tensors(graph, observers, placements), used, len(images))
    give_back()
    return stats


def _same_but_name(first: Placement, second: Placement) -> bool:
    return replace(first, target=second.target, precision=second.precision) == second


def _algorithm(name: str, kind: type[T]) -> T:
    found = ALGORITHMS.get(name)
    if not isinstance(found, kind):
        raise TypeError(f"the algorithm {name} is no {kind.__name__}")
    return found
