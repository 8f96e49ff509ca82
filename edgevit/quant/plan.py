"""Decide once: from calibration images and what a backend can do to a QuantPlan that is plain data.

Sites are decided in execution order, each on what enters it behind the sites that are decided already,
so that a layer can make up for what the layers before it have lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.capabilities import MOST_IN_FLOAT, BackendCapabilities, OpCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.plugins import Range
from edgevit.core.types import Graph, Stats
from edgevit.program.paired_run import Beside, paired_run
from edgevit.program.sites import WEIGHTED, Site, list_sites, same_for_all_images, site_of
from edgevit.quant import _affine, _site, integer_silu, mixed_precision, whole_graph
from edgevit.quant._begun import Begun, empty_plan, settled_by
from edgevit.quant._site import Choices
from edgevit.quant.output_params import output_nodes, output_params
from edgevit.quant.output_sensitivity import Errors, Made, output_errors
from edgevit.quant.plan_whole_graph import plan_whole_graph
from edgevit.quant.weights import constants

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.quant._begun import Tune

_RANGE_ALONE: Final = ("minmax",)
_LOW_INTENSITY: Final = (
    "it comes first and does {:.1f} multiply-accumulates for each value that it reads or writes: "
    "below {:g} integers are slower than float"
)


def wanted_tensors(
    graph: Graph, observers: tuple[str, ...], backends: tuple[BackendCapabilities, ...] = ()
) -> dict[str, tuple[str, ...]]:
    """The tensors that enter or leave a weighted site, each with the same observers.

    What enters products of two activations that some backend makes integer has to have its range alone, and so
    have outputs that some backend makes integer. A backend without float arithmetic wants the range of everything.
    """
    names: dict[str, tuple[str, ...]] = {}
    rounded = {kind.kind for capabilities in backends for kind in capabilities.kinds}
    for site in list_sites(graph):
        if site.kind in WEIGHTED:
            names[site.source] = names[site.name] = observers
        elif site.rhs is not None and site.kind in rounded:
            names.setdefault(site.source, _RANGE_ALONE)
            names.setdefault(site.rhs, _RANGE_ALONE)
    if any(capabilities.activations is not None for capabilities in backends):
        activations = whole_graph.find(graph)
        for tensor in (*activations.makers, *activations.joined):
            names.setdefault(tensor, _RANGE_ALONE)
    if any(capabilities.outputs is not None for capabilities in backends):
        for node in output_nodes(graph):
            names.setdefault(site_of(node), _RANGE_ALONE)
    return names


def make_plan(
    graph: Graph,
    stats: Stats,
    images: torch.Tensor | None,
    capabilities: BackendCapabilities,
    choices: Choices,
    advance: Callable[[int], None] | None = None,
    tune: Tune | None = None,
) -> QuantPlan:
    """One plan; see `make_plans`.

    Args:
        tune: may change what was decided, after each operation; see `reconstruct`.
    """
    return _make(graph, stats, images, (capabilities,), choices, advance, tune)[0]


def make_plans(
    graph: Graph,
    stats: Stats,
    images: torch.Tensor | None,
    backends: Sequence[BackendCapabilities],
    choices: Choices,
    advance: Callable[[int], None] | None = None,
) -> tuple[QuantPlan, ...]:
    """Choose grids and rounded weights for every site that each backend makes integer, beside one float run.

    Args:
        stats: measured on this graph (after its folds); unused where a backend wants no
            quantized activations.
        images: for calibration, float32 (N, 3, height, width); None rounds each weight on its own.
        advance: told the number of operations that are done, of all plans together.
    """
    return _make(graph, stats, images, backends, choices, advance, None)


def _make(
    graph: Graph,
    stats: Stats,
    images: torch.Tensor | None,
    backends: Sequence[BackendCapabilities],
    choices: Choices,
    advance: Callable[[int], None] | None,
    tune: Tune | None,
) -> tuple[QuantPlan, ...]:
    begun = [
        (plan_whole_graph if capabilities.activations is not None else _begin)(
            graph, stats, images, capabilities, choices, tune
        )
        for capabilities in backends
    ]
    if images is not None:
        paired_run(graph, images, [plan.run for plan in begun], advance)
    return tuple(plan.finish() for plan in begun)


def _begin(
    graph: Graph,
    stats: Stats,
    images: torch.Tensor | None,
    capabilities: BackendCapabilities,
    choices: Choices,
    tune: Tune | None,
) -> Begun:
    """A plan for a backend that has float arithmetic beside its integers."""
    possible, skipped = choose_sites(graph, capabilities)
    weighted = [site.name for site in possible if site.weight is not None]
    ends = {*weighted[:1], *weighted[-1:]}
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    multiplying = [site for site in list_sites(graph) if site.macs]
    total = sum(site.macs for site in multiplying)
    started = sum(site.macs for site in _low_intensity_stem(multiplying, kinds))
    share = min(capabilities.float_macs, MOST_IN_FLOAT - started / max(total, 1))
    fallback = mixed_precision.choose_fallback(possible, kinds, stats, total, share)
    static = tuple(site for site in possible if site.name not in fallback)
    kind_of = {site.name: kinds[site.kind] for site in static}
    for site in possible:
        if site.name in fallback and kinds[site.kind].fallback is not None:
            kind_of[site.name] = mixed_precision.with_fallback(kinds[site.kind])
    left = {name: reason for name, reason in fallback.items() if name not in kind_of}
    skipped = in_execution_order(graph, (*skipped, *left.items()))
    integer = tuple(site for site in possible if site.name in kind_of)
    gated = integer_silu_sites(graph, capabilities, static)
    weights = constants(graph)
    sites: list[SitePlan] = []
    tensors: dict[str, NDArray[np.generic]] = {}

    empty = replace(empty_plan(graph, capabilities), skipped=skipped)

    def so_far() -> QuantPlan:
        return replace(empty, sites=tuple(sites), tensors=dict(tensors))

    def settle(site: Site, seen: _site.Seen | None) -> _site.Decided:
        weight = None if site.weight is None else weights[site.weight]
        bias = None if site.bias is None else weights[site.bias]
        keep_8bit = site.name in ends
        decided = _site.decide(
            site, kind_of[site.name], capabilities, weight, bias, stats, choices, seen, keep_8bit
        )
        sites.append(
            replace(decided.plan, sigmoid=integer_silu.SIGMOID) if site.name in gated else decided.plan
        )
        tensors.update(decided.tensors)
        return decided

    by_name = {site.name: site for site in integer}

    def decide(node: torch.fx.Node, real: tuple[Any, ...], planned: tuple[Any, ...]) -> torch.Tensor | None:
        site = by_name.get(site_of(node))
        if site is None:
            return (
                integer_silu.silu(planned[0], integer_silu.SIGMOID)
                if integer_silu.source_of(node) in gated
                else None
            )
        seen = _site.Seen(node, real[0], planned[0])
        return _site.execute(node, settle(site, seen), planned)

    def finish() -> QuantPlan:
        outputs = output_params(graph, {planned.site: planned for planned in sites}, stats, capabilities)
        return replace(so_far(), outputs=outputs)

    if images is None:
        for site in integer:
            settle(site, None)
    return Begun(Beside(decide, settled_by(tune, so_far, tensors)), finish)


def measure_output_sensitivity(
    graph: Graph,
    images: torch.Tensor,
    stats: Stats,
    backends: tuple[BackendCapabilities, ...],
    ranges: Range,
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> Stats:
    """What candidate ranges of each activation that some backend quantizes cost the model's output.

    Returns:
        `stats` with (tensor, "range_sensitivity") (candidates,), and ("channel_sensitivity") (1,) for outputs of
        linear layers: what one symmetric scale for each channel costs.
    """
    found = ranges.errors
    if found is None:
        return stats
    inputs, outputs = _quantized_tensors(graph, backends)
    channels = {name for name, linear in outputs.items() if linear}

    def errors_of(name: str) -> Errors:
        low, high = (float(v) for v in stats.values[name, "minmax"])

        def errors(value: torch.Tensor, _made: Made) -> Iterator[torch.Tensor]:
            yield from found(value, low, high)
            if name in channels:
                limits = _site.channel_limits(stats, name, value.shape[1:])
                yield (
                    _affine.fake_quantize(value, _affine.channel_params(limits, value.ndim - 1, "float32"))
                    - value
                )

        return errors

    wanted = {name: errors_of(name) for name in dict.fromkeys((*inputs, *outputs))}
    measured = output_errors(graph, images, wanted, seed, advance)
    values = dict(stats.values)
    for name, sensitivities in measured.items():
        array = sensitivities.numpy()
        if name in channels:
            values[name, "channel_sensitivity"], array = array[-1:], array[:-1]
        values[name, "range_sensitivity"] = array
    return replace(stats, values=values)


def _quantized_tensors(
    graph: Graph, backends: tuple[BackendCapabilities, ...]
) -> tuple[tuple[str, ...], dict[str, bool]]:
    """Inputs, and outputs -> whether of a linear layer, of the sites that some backend quantizes there."""
    inputs: dict[str, None] = {}
    outputs: dict[str, bool] = {}
    for capabilities in backends:
        if capabilities.activations is not None:
            outputs |= {maker: outputs.get(maker, False) for maker in whole_graph.find(graph).makers}
            continue
        kinds = {kind.kind: kind for kind in capabilities.kinds}
        for site in choose_sites(graph, capabilities)[0]:
            if kinds[site.kind].input is not None:
                inputs |= {name: None for name in (site.source, site.rhs) if name is not None}
            if kinds[site.kind].output is not None:
                linear = site.kind == "linear" and kinds[site.kind].output_channels
                outputs[site.name] = outputs.get(site.name, False) or linear
    return tuple(inputs), outputs


def statistics_of(
    graph: Graph, observers: tuple[str, ...], capabilities: BackendCapabilities
) -> frozenset[tuple[str, str]]:
    """The statistics, (tensor, observer), that are measured for a plan of this backend alone."""
    wanted = wanted_tensors(graph, observers, (capabilities,))
    inputs, outputs = _quantized_tensors(graph, (capabilities,))
    return frozenset(
        {(name, observer) for name, observed in wanted.items() for observer in observed}
        | {(name, "range_sensitivity") for name in (*inputs, *outputs)}
        | {(name, "channel_sensitivity") for name, linear in outputs.items() if linear}
    )


def choose_sites(
    graph: Graph, capabilities: BackendCapabilities
) -> tuple[tuple[Site, ...], tuple[tuple[str, str], ...]]:
    """The sites that become integer, and the others with MACs, each with the reason."""
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    fixed = same_for_all_images(graph)
    chosen: list[Site] = []
    skipped: list[tuple[str, str]] = []
    multiplying = [site for site in list_sites(graph) if site.macs]
    thin = _low_intensity_stem(multiplying, kinds)
    for site in multiplying:
        if site.kind not in kinds:
            skipped.append((site.name, f"{site.kind} is computed in {capabilities.compute}"))
        elif site.weight is None and site.kind in WEIGHTED:
            skipped.append((site.name, "its weight is computed, not a constant"))
        elif kinds[site.kind].input is not None and not fixed.isdisjoint((site.source, site.rhs)):
            skipped.append((site.name, "its input is a constant, so nothing is measured there"))
        elif site in thin:
            enough = kinds[site.kind].min_intensity
            skipped.append((site.name, _LOW_INTENSITY.format(site.macs / site.values, enough)))
        else:
            chosen.append(site)
    return tuple(chosen), tuple(skipped)


def _low_intensity_stem(sites: list[Site], kinds: Mapping[str, OpCapabilities]) -> tuple[Site, ...]:
    """The sites from the first on whose arithmetic intensity is below what their kind asks for.

    Args:
        sites: all that multiply, in execution order.
    """
    left = MOST_IN_FLOAT * sum(site.macs for site in sites)
    found: list[Site] = []
    for site in sites:
        if site.kind in kinds and site.macs >= kinds[site.kind].min_intensity * site.values:
            break
        left -= site.macs
        if left < 0:
            break
        found.append(site)
    return tuple(found)


def in_execution_order(graph: Graph, skipped: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What stays in float, however it was found."""
    order = {site.name: index for index, site in enumerate(list_sites(graph))}
    return tuple(sorted(skipped, key=lambda entry: order[entry[0]]))


def integer_silu_sites(
    graph: Graph, capabilities: BackendCapabilities, chosen: tuple[Site, ...]
) -> frozenset[str]:
    """The sites behind which SiLU is computed in integers.

    Args:
        chosen: that become integer.
    """
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    leaving = {
        s.name for s in chosen if kinds[s.kind].sigmoid is not None and kinds[s.kind].output is not None
    }
    entering = {s.name for s in chosen if kinds[s.kind].input is not None}
    return integer_silu.between_integers(graph, leaving, entering) if leaving else frozenset()
