"""Move per-channel magnitude from what attention gives the output projection into the projection itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.graph import _constants, _moves
from edgevit.graph.sites import site_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

ALPHA = 0.7
# Keeps a dead channel from asking for an infinite factor.
FLOOR = 1e-5


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """Divide the rows of the layer that makes V by s and multiply the projection's input channels by it: exact.

    Attention mixes tokens, never channels, so a factor on a channel of V is a factor on the channel of the
    projection's input that it becomes. s as in SmoothQuant (Xiao et al. 2023, equation 4). Which channel becomes
    which is read off the program by moving indices through it.
    """
    import torch

    program = graph.program
    linear, product = torch.ops.aten.linear.default, torch.ops.aten.matmul.default
    changed = []
    for projection in program.graph_module.graph.nodes:
        if projection.target is not linear:
            continue
        back = _private_region(projection.args[0], projection)
        if back is None or back.source.target is not product or len(back.source.users) != 1:
            continue
        attended = back.source
        there = _private_region(attended.args[1], attended)
        if there is None or there.source.target is not linear:
            continue
        values = there.source
        channels = _channels(values, there.indices, tuple(attended.meta["val"].shape), back.indices)
        if channels is None or not _alone(values, there, channels):
            continue
        own = [_only(program, node) for node in (values.args[1], projection.args[1])]
        if own[0] is None or own[1] is None:
            continue
        seen = torch.from_numpy(stats.values[site_of(projection.args[0]), "channel_absmax"]).clamp(min=FLOOR)
        factor = seen**ALPHA / own[1].abs().amax(0).clamp(min=FLOOR) ** (1 - ALPHA)
        factor = factor / factor.log().mean().exp()
        rows = torch.ones(len(own[0])).index_copy(0, channels, factor)
        if len(values.args) > 2 and values.args[2] is not None:
            bias = _only(program, values.args[2])
            if bias is None:
                continue
            _constants.set_value(program, values.args[2], bias / rows)
        _constants.set_value(program, values.args[1], own[0] / rows[:, None])
        _constants.set_value(program, projection.args[1], own[1] * factor)
        changed.append(site_of(projection))
    return tuple(changed)


def _private_region(result: object, reader: torch.fx.Node) -> _moves.Region | None:
    """The moves that end in `result`, if `reader` alone reads them."""
    import torch

    if not isinstance(result, torch.fx.Node) or not _moves.is_move(result):
        return None
    region = _moves.region_of(result)
    if region is None or _moves.shared(region) or tuple(result.users) != (reader,):
        return None
    return region


def _channels(
    values: torch.fx.Node, there: torch.Tensor, attended: tuple[int, ...], back: torch.Tensor
) -> torch.Tensor | None:
    """The channel of `values` behind each channel of the projection's input; None if tokens are mixed with them.

    Args:
        there: positions in the flattened result of `values`, (..., tokens, channels of a head).
        attended: shape of the product of attention and V, (..., queries, channels of a head).
        back: positions in the flattened product, (..., queries, channels).
    """

    of_value = there % values.meta["val"].shape[-1]
    if not (of_value == of_value[..., :1, :]).all():
        return None
    of_product = of_value[..., :1, :].expand(attended).flatten()
    found = of_product[back].flatten(0, -2)
    channels: torch.Tensor = found[0]
    if not (found == channels).all() or len(channels.unique()) != len(channels):
        return None
    return channels


def _alone(values: torch.fx.Node, there: _moves.Region, channels: torch.Tensor) -> bool:
    """Whether all others that read `values` read a slice of other channels."""
    import torch

    last = values.meta["val"].ndim - 1
    mine = set(channels.tolist())
    for user in values.users:
        if user in there.nodes:
            continue
        if user.target is not torch.ops.aten.slice.Tensor or user.args[1] not in (last, -1):
            return False
        first, end = user.args[2], user.args[3]
        assert isinstance(first, int) and isinstance(end, int)
        if mine & set(range(first, end)):
            return False
    return True


def _only(program: ExportedProgram, node: torch.fx.Node) -> torch.Tensor | None:
    """The constant behind a node that one operation reads."""
    return _constants.value(program, node) if len(node.users) == 1 else None


ALGORITHM = Fold(
    summary="Fold: scales of attention's V into the output projection.",
    observers=("channel_absmax",),
    apply=apply,
)
