"""Grids of the model's outputs, for files that give integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Graph, Stats
from edgevit.graph.moves import is_move
from edgevit.program.sites import site_of
from edgevit.quant import _affine

if TYPE_CHECKING:
    import torch


def output_nodes(graph: Graph) -> tuple[torch.fx.Node, ...]:
    """The operations that give the outputs, in order."""
    node = next(n for n in graph.program.graph_module.graph.nodes if n.op == "output")
    return tuple(node.args[0])


def output_params(
    graph: Graph, sites: Mapping[str, SitePlan], stats: Stats, capabilities: BackendCapabilities
) -> tuple[QuantParams, ...]:
    """One for each output: that of the integer layer it comes from, else what covers its measured range.

    Args:
        stats: with `minmax` of what gives the outputs; see `wanted_tensors`.
    """
    if capabilities.outputs is None:
        return ()
    found = []
    for node in output_nodes(graph):
        maker = sites.get(site_of(_behind_moves(node)))
        if _is_integer(maker):
            assert maker is not None and maker.output is not None
            found.append(_as(maker.output, capabilities.outputs))
            continue
        low, high = (float(v) for v in stats.values[site_of(node), "minmax"])
        found.append(_affine.activation_params(low, high, capabilities.outputs, capabilities.scale_dtype))
    return tuple(found)


def _is_integer(maker: SitePlan | None) -> bool:
    """Whether it gives 8-bit integers with one scale."""
    params = None if maker is None else maker.output
    return params is not None and params.axis is None and params.dtype in ("int8", "uint8")


def _behind_moves(node: torch.fx.Node) -> torch.fx.Node:
    """What computes the values of `node`, of which moves keep all."""
    while is_move(node) and len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
    return node


def _as(params: QuantParams, dtype: Literal["int8", "uint8"]) -> QuantParams:
    """The same steps as int8 or uint8."""
    if params.dtype == dtype:
        return params
    shift = 128 if dtype == "uint8" else -128
    return replace(params, dtype=dtype, zero_point=(params.zero_point[0] + shift,))
