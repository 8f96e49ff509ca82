"""Palettes: the values that lose least of a group of weights, and the choice among them by GPTQ's loop.

A group of weights w_i (elements,) is stored as indices into n values v (n,), 16 of them at 4 bits:

    minimise  sum_i h_i (w_i - v_k(i))^2     over v and the choice k(i)

with h_i the power E[x_i^2] of the input that a weight multiplies: an error counts as much as its input is large.

1. In one dimension the best clusters are intervals of the sorted weights. Dynamic programming finds the best n
   intervals over about 256 cells of neighbouring weights (Wang and Song 2011, "Ckmeans.1d.dp",
   https://journal.r-project.org/articles/RJ-2011-015); each value is the weighted mean of its interval.
2. A few rounds of Lloyd's algorithm move the borders from cells to single weights.
3. With the values fixed, weights (groups, rows, inputs) get their index column by column in GPTQ's loop
   (`_compensate`), so that later columns correct earlier errors; without moments each takes the nearest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Clustering
from edgevit.quant.algorithms._compensate import compensate

if TYPE_CHECKING:
    import torch

ROUNDS = 20
CELLS = 256


def fit(weights: torch.Tensor, importance: torch.Tensor, count: int) -> torch.Tensor:
    """k-means in one dimension, each weight counted by its importance.

    The best division of a few hundred cells of neighbouring weights is found by dynamic programming (Wang
    and Song 2011, https://journal.r-project.org/articles/RJ-2011-015), and a few rounds of Lloyd's
    algorithm move its borders between single weights.

    Args:
        weights, importance: float64 (elements,).

    Returns:
        float64 (count,), ascending.
    """
    import torch

    order = weights.argsort()
    ascending, counts = weights[order], importance[order]
    zero = torch.zeros(1, dtype=weights.dtype)
    sums = torch.stack(
        [torch.cat([zero, (counts * ascending**exponent).cumsum(0)]) for exponent in (0, 1, 2)]
    )
    edges = _divide(sums, _cells(ascending), count)
    values = _means(sums, edges, ascending)
    for _ in range(ROUNDS):
        borders = torch.searchsorted(ascending, (values[1:] + values[:-1]) / 2)
        moved = torch.cat([edges[:1], borders, edges[-1:]])
        if torch.equal(moved, edges):
            break
        edges = moved
        values = _means(sums, edges, ascending)
    return values.sort().values


def _cells(ascending: torch.Tensor) -> torch.Tensor:
    """Positions that cut the sorted weights, int64: half of them by number, half by value, for the tails."""
    import torch

    by_number = torch.linspace(0, len(ascending), CELLS // 2 + 1).long()
    steps = torch.linspace(float(ascending[0]), float(ascending[-1]), CELLS // 2 + 1, dtype=ascending.dtype)
    by_value = torch.searchsorted(ascending, steps[1:-1].contiguous())
    cuts: torch.Tensor = torch.cat([by_number, by_value]).unique()
    return cuts


def _divide(sums: torch.Tensor, cuts: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` + 1 of the cuts between which the weights lose least, each part to its own mean."""
    import torch

    mass, first, second = sums[:, cuts]
    weight = mass[None, :] - mass[:, None]
    lost = (second[None, :] - second[:, None]) - (first[None, :] - first[:, None]).square() / weight
    lost = torch.where(weight > 0, lost.clamp(min=0), torch.zeros_like(lost))
    lost = torch.where(torch.ones_like(lost).triu() > 0, lost, torch.inf)  # a part may be empty
    total, choices = lost[0], []
    for _ in range(count - 1):
        total, chosen = (total[:, None] + lost).min(0)
        choices.append(chosen)
    place = len(cuts) - 1
    edges = [place]
    for chosen in reversed(choices):
        place = int(chosen[place])
        edges.append(place)
    return cuts.index_select(0, torch.tensor([0, *reversed(edges)]))


def _means(sums: torch.Tensor, edges: torch.Tensor, ascending: torch.Tensor) -> torch.Tensor:
    """Of each part; an empty one takes the weight at its place."""
    import torch

    weight, total = (sums[index, edges[1:]] - sums[index, edges[:-1]] for index in (0, 1))
    there = ascending[edges[:-1].clamp(max=len(ascending) - 1)]
    return torch.where(weight > 0, total / weight.clamp(min=1e-300), there)


def assign(weights: torch.Tensor, lists: torch.Tensor, hessian: torch.Tensor | None) -> torch.Tensor:
    """Indices of the values to take, uint8 of the weights' shape.

    Args:
        weights: float64 (groups, rows, inputs).
        lists: float64 (groups, rows, values), ascending.
        hessian: float64 (groups, inputs, inputs), None to take the nearest.
    """
    import torch

    borders = ((lists[..., 1:] + lists[..., :-1]) / 2).contiguous()
    if hessian is None:
        return torch.searchsorted(borders, weights.contiguous()).to(torch.uint8)
    indices = torch.zeros(weights.shape, dtype=torch.uint8)

    def snap(column: torch.Tensor, index: int) -> torch.Tensor:
        chosen = torch.searchsorted(borders, column.unsqueeze(-1).contiguous())
        indices[..., index] = chosen.squeeze(-1).to(torch.uint8)
        return lists.gather(-1, chosen).squeeze(-1)

    compensate(weights, hessian, snap)
    return indices


ALGORITHM = Clustering(
    summary="Palettes: k-means weighted by the inputs' power, assigned with GPTQ's error compensation.",
    observers=(),
    fit=fit,
    assign=assign,
)
