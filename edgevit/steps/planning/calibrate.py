"""Run the calibration images through a graph: what plans have to know about its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plugins import Range
from edgevit.core.process.memory import give_back
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.types import Graph, Stats
from edgevit.registries import OBSERVERS
from edgevit.steps import messages
from edgevit.steps.planning.algorithms import RANGE, find

if TYPE_CHECKING:
    import torch

OBSERVED = ("minmax", "channel_absmax", "channel_moments")
# Derivatives are measured on this many images: the first ones say nearly all, and each costs a few passes.
EFFECT_IMAGES = 24


def measure(
    graph: Graph,
    calibration: torch.Tensor | None,
    backends: tuple[BackendCapabilities, ...],
    seed: int,
    emit: Emit,
) -> Stats:
    """What plans of this graph that quantize activations have to know about them."""
    from edgevit.quant.plan import measure_output_sensitivity

    static = any(kind.input is not None for p in backends for kind in p.kinds)
    assert calibration is not None or not static, "the command line asks for --calibrate"
    if calibration is None or not any(messages.quantize_activations(p.kinds) for p in backends):
        return Stats({}, 0)
    stats = observe(graph, calibration, OBSERVED, emit, backends)
    if not static:
        return stats
    count = min(EFFECT_IMAGES, len(calibration))
    emit(Stage("measuring what ranges cost the output", count))
    measured = measure_output_sensitivity(
        graph,
        calibration[:count],
        stats,
        backends,
        find(RANGE, Range),
        seed,
        lambda n: emit(Advance(n)),
    )
    give_back()
    return measured


def part_for(graph: Graph, stats: Stats, capabilities: BackendCapabilities) -> Stats:
    """What the plan of one backend wants of statistics that were measured for several."""
    from edgevit.quant.plan import statistics_of

    keys = statistics_of(graph, OBSERVED, capabilities)
    return Stats({key: value for key, value in stats.values.items() if key in keys}, stats.images)


def observe(
    graph: Graph,
    images: torch.Tensor,
    observers: tuple[str, ...],
    emit: Emit,
    backends: tuple[BackendCapabilities, ...] = (),
    stage: str = "calibrating",
) -> Stats:
    """What `observers` say of the tensors around weighted sites, and around the products of `backends`."""
    from calibration.collect import collect
    from edgevit.program.run import run
    from edgevit.program.sites import site_of
    from edgevit.quant.plan import wanted_tensors

    emit(Stage(stage, len(images)))

    def observed(look: Callable[[str, torch.Tensor], Any]) -> dict[str, torch.Tensor]:
        def at(node: torch.fx.Node, value: Any) -> Any:
            return look(site_of(node), value) if hasattr(value, "amax") else {}

        return run(graph, images, observe=at, advance=lambda n: emit(Advance(n)))[1]

    used = {name: OBSERVERS.get(name) for name in observers}
    stats = collect(observed, wanted_tensors(graph, observers, backends), used, len(images))
    give_back()
    return stats
