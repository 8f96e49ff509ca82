"""Palettes: the values that lose least of a group of weights, and the choice among them by GPTQ's loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Clustering
from edgevit.quant.algorithms._compensate import compensate

if TYPE_CHECKING:
    import torch

ROUNDS = 25


def fit(weights: torch.Tensor, importance: torch.Tensor, count: int) -> torch.Tensor:
    """Lloyd's algorithm in one dimension, each weight counted by its importance.

    Args:
        weights, importance: float64 (elements,).

    Returns:
        float64 (count,), ascending. It starts at quantiles of the weights, so the same weights give the
        same values.
    """
    import torch

    order = weights.argsort()
    ascending, counts = weights[order], importance[order]
    moment = torch.cat([torch.zeros(1, dtype=weights.dtype), (ascending * counts).cumsum(0)])
    mass = torch.cat([torch.zeros(1, dtype=weights.dtype), counts.cumsum(0)])
    # by the cube root of the density, which spreads values as the best ones spread for many of them
    spread = (counts.clamp(min=1e-30)).pow(1 / 3).cumsum(0)
    targets = (torch.arange(count, dtype=weights.dtype) + 0.5) / count * spread[-1]
    values = ascending[torch.searchsorted(spread, targets).clamp(max=len(ascending) - 1)]
    for _ in range(ROUNDS):
        borders = torch.searchsorted(ascending, (values[1:] + values[:-1]) / 2)
        edges = torch.cat([borders.new_zeros(1), borders, borders.new_full((1,), len(ascending))])
        weight = mass[edges[1:]] - mass[edges[:-1]]
        means = (moment[edges[1:]] - moment[edges[:-1]]) / weight.clamp(min=1e-300)
        values = torch.where(weight > 0, means, values)
    return values.sort().values


def assign(weights: torch.Tensor, lists: torch.Tensor, gram: torch.Tensor | None) -> torch.Tensor:
    """Indices of the values to take, uint8 of the weights' shape.

    Args:
        weights: float64 (groups, rows, inputs).
        lists: float64 (groups, rows, values), ascending.
        gram: float64 (groups, inputs, inputs), None to take the nearest.
    """
    import torch

    borders = ((lists[..., 1:] + lists[..., :-1]) / 2).contiguous()
    if gram is None:
        return torch.searchsorted(borders, weights.contiguous()).to(torch.uint8)
    indices = torch.zeros(weights.shape, dtype=torch.uint8)

    def snap(column: torch.Tensor, index: int) -> torch.Tensor:
        chosen = torch.searchsorted(borders, column.unsqueeze(-1).contiguous())
        indices[..., index] = chosen.squeeze(-1).to(torch.uint8)
        return lists.gather(-1, chosen).squeeze(-1)

    compensate(weights, gram, snap)
    return indices


ALGORITHM = Clustering(
    summary="Palettes: k-means weighted by the inputs' power, assigned with GPTQ's error compensation.",
    observers=(),
    fit=fit,
    assign=assign,
)
