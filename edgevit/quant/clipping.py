"""How well the planned ranges fit images: what is clipped, and what of a range nothing reaches.

A static grid of n integers with scale s and zero point z holds the real values from (0 - z) s to (n - 1 - z) s.
A value beyond them by more than half a step is clipped, which costs more than rounding does; a range that
the values fill to a quarter wastes two of eight bits. Both are read off the float graph: what enters a site
is compared with the grid that the plan has there, so that one pass serves all plans of a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import LIMITS, QuantParams
from edgevit.core.types import Graph
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.quant import _affine

if TYPE_CHECKING:
    import torch

# A tensor, by the site that makes it, and the grid that a plan quantizes it on.
Quantized = tuple[str, QuantParams]


@dataclass(frozen=True, slots=True)
class RangeUse:
    """One quantized tensor on a set of images.

    Attributes:
        clipped: share of its values that lie outside the grid's range, 0 to 1.
        noise: energy of what clipping takes away over the energy of the tensor; 0.001 is an SQNR of 30 dB.
        unused: share of the range that no value reaches, 0 to 1.
    """

    clipped: float
    noise: float
    unused: float


def quantized_tensors(graph: Graph, plan: QuantPlan) -> dict[Quantized, str]:
    """Every activation that the plan puts on a static grid -> the first site that has it there."""
    sites = {site.name: site for site in list_sites(graph)}
    found: dict[Quantized, str] = {}
    for planned in plan.sites:
        site = sites[planned.site]
        if plan.capabilities.activations is not None:  # inputs are the outputs of others
            if planned.output is not None and planned.kind != "getitem":
                found.setdefault((site.name, planned.output), planned.site)
            continue
        places = ((site.source, planned.input), (site.rhs, planned.rhs), (site.name, planned.output))
        for tensor, params in places:
            if tensor is not None and params is not None:
                found.setdefault((tensor, params), planned.site)
    return found


def range_use(
    graph: Graph,
    tensors: frozenset[Quantized],
    images: torch.Tensor,
    advance: Callable[[int], None] | None = None,
) -> dict[Quantized, RangeUse]:
    """What `images`, float32 (N, 3, height, width), do with the ranges of `tensors`.

    Tensors that do not depend on the image are left out: no image changes them.
    """
    wanted: dict[str, list[tuple[str, QuantParams]]] = {}
    keys = {f"{index}": key for index, key in enumerate(sorted(tensors, key=repr))}
    for name, (tensor, params) in keys.items():
        wanted.setdefault(tensor, []).append((name, params))

    def observe(node: torch.fx.Node, value: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {name: _measure(value, params) for name, params in wanted.get(site_of(node), ())}

    measured = run(graph, images, observe=observe, advance=advance)[1]
    return {keys[name]: _combined(rows, keys[name][1]) for name, rows in measured.items()}


def _measure(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Of one image: share clipped, energy clipped away, energy, lowest and highest integer; float32 (5,)."""
    import torch

    scale, zero = _affine.broadcast(params, value.ndim)
    low, high = LIMITS[params.dtype]
    steps = value / scale + zero
    outside = steps - steps.clamp(low - 0.5, high + 0.5)
    lost = (outside * scale).square().mean()
    return torch.stack(
        ((outside != 0).float().mean(), lost, value.square().mean(), steps.amin(), steps.amax())
    )


def _combined(rows: torch.Tensor, params: QuantParams) -> RangeUse:
    """(N, 5) of `_measure` -> one figure for all images."""
    low, high = LIMITS[params.dtype]
    clipped, lost, energy = (float(column) for column in rows[:, :3].double().mean(0))
    first, last = max(float(rows[:, 3].min()), low), min(float(rows[:, 4].max()), high)
    unused = 1.0 - max(last - first, 0.0) / (high - low)
    return RangeUse(clipped, lost / energy if energy > 0 else 0.0, min(max(unused, 0.0), 1.0))
