"""Decide once: from statistics and a placement to a QuantPlan that is plain data."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Range, Rounding
from edgevit.core.types import Graph, Grid, KindPlacement, Placement, QuantPlan, SitePlan, Stats
from edgevit.graph import _constants
from edgevit.graph.sites import WEIGHTED, Site, list_sites
from edgevit.quant import _affine

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def wanted_tensors(graph: Graph, observers: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The tensors that enter or leave a weighted site, each with the same observers."""
    names: dict[str, tuple[str, ...]] = {}
    for site in list_sites(graph):
        if site.kind in WEIGHTED:
            names[site.source] = names[site.name] = observers
    return names


def make_plan(
    graph: Graph, stats: Stats, placement: Placement, ranges: Range, rounding: Rounding
) -> QuantPlan:
    """Choose grids and rounded weights for every site that the placement makes integer.

    Args:
        stats: measured on this graph (after its folds); unused where the placement wants no
            quantized activations.
    """
    kinds = {kind.kind: kind for kind in placement.kinds}
    weights = _weights(graph)
    constants = _constants.targets(graph.program)
    sites, skipped = [], []
    tensors: dict[str, NDArray[np.generic]] = {}
    for site in list_sites(graph):
        if not site.macs:
            continue
        if site.kind not in kinds:
            skipped.append((site.name, f"{placement.target} computes {site.kind} in {placement.compute}"))
        elif site.weight is None:
            skipped.append((site.name, "its weight is computed, not a constant"))
        elif kinds[site.kind].input is not None and site.source in constants:
            skipped.append((site.name, "its input is a constant, so nothing is measured there"))
        else:
            planned, made = _plan_site(site, weights, stats, kinds[site.kind], placement, ranges, rounding)
            sites.append(planned)
            tensors.update(made)
    return QuantPlan(
        target=placement.target,
        precision=placement.precision,
        compute=placement.compute,
        graph_sha256=weights_digest(graph),
        sites=tuple(sites),
        skipped=tuple(skipped),
        tensors=tensors,
    )


def weights_digest(graph: Graph) -> str:
    """sha256 over the names and bytes of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(_weights(graph).items()):
        digest.update(name.encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _weights(graph: Graph) -> dict[str, torch.Tensor]:
    import torch

    program = graph.program
    found: dict[str, Any] = {**program.constants, **program.state_dict}
    return {k: v.detach() for k, v in found.items() if isinstance(v, torch.Tensor)}


def _plan_site(
    site: Site,
    weights: dict[str, torch.Tensor],
    stats: Stats,
    kind: KindPlacement,
    placement: Placement,
    ranges: Range,
    rounding: Rounding,
) -> tuple[SitePlan, dict[str, NDArray[np.generic]]]:
    assert site.weight is not None
    weight = weights[site.weight]
    bias = weights[site.bias] if site.bias is not None else None

    def grid(tensor: str, dtype: Any) -> Grid | None:
        if dtype is None:
            return None
        return _affine.activation_grid(*ranges.choose(stats, tensor), dtype, placement.scale_dtype)

    input_grid, output_grid = grid(site.source, kind.input), grid(site.name, kind.output)
    integer_bias = bias is not None and kind.bias == "int32" and input_grid is not None
    input_scale = input_grid.scale[0] if integer_bias and input_grid is not None else None
    weight_grid = _affine.weight_grid(weight, bias, input_scale, placement.scale_dtype)
    scale, _ = _affine.broadcast(weight_grid, weight.ndim)
    tensors = {f"{site.name}.weight": rounding.round(weight, scale).numpy()}
    if bias is not None and input_scale is not None:
        tensors[f"{site.name}.bias"] = _integer_bias(bias, input_scale, weight_grid)
    planned = SitePlan(
        site=site.name,
        kind=site.kind,
        input=input_grid,
        weight=weight_grid,
        output=output_grid,
        bias="none" if bias is None else "int32" if integer_bias else "float32",
    )
    return planned, tensors


def _integer_bias(bias: torch.Tensor, input_scale: float, weight: Grid) -> NDArray[np.generic]:
    import numpy as np

    scale = input_scale * np.asarray(weight.scale, np.float64)
    return np.rint(bias.double().numpy() / scale).astype(np.int32)
