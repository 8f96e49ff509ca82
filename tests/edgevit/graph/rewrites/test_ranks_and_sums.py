"""Arithmetic above rank 4, and constants that are added one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.graph.rewrites import (
    fold_constants,
    join_additions,
    lower_rank,
    remove_aliases,
    simplify_permutes,
)
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r

RANK = (remove_aliases.REWRITE, fold_constants.REWRITE, lower_rank.REWRITE, simplify_permutes.REWRITE)


def test_a_mask_at_rank_five_is_added_at_rank_four() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        scores = x.reshape(4, 3, 8, 8).view(-1, 4, 3, 8, 8) + self.mask.unsqueeze(1).unsqueeze(0)
        return scores.view(-1, 3, 8, 8).softmax(-1)

    module = r.Lines(forward, mask=torch.randn(4, 8, 8))
    graph = r.rewritten(module, *RANK)
    assert r.rank(graph) == 4 and r.kinds(graph) == {"reshape": 1, "add": 1, "softmax": 1}
    assert r.difference(graph, module) > 300


def test_whole_attention_and_its_layers_at_rank_six_come_down() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x.reshape(1, 2, 2, 3, 16, 4)
        y = self.linear(self.norm(y))
        y = (y @ y.transpose(-2, -1)).softmax(-1) @ y
        return (y * self.gain + 1).flatten(1)

    held = {"norm": nn.LayerNorm(4), "linear": nn.Linear(4, 4), "gain": torch.rand(2, 1, 1, 1, 4)}
    module = small.randomised(r.Lines(forward, **held))
    graph = r.rewritten(module, *RANK)
    assert r.rank(graph) <= 4
    assert r.difference(graph, module) > 120


def test_a_reduction_of_one_axis_above_rank_four_is_one_at_rank_three() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x.reshape(1, 3, 4, 2, 4, 8)
        return (y.amax(dim=3) + y.mean((2, 3), keepdim=True).squeeze(2)).flatten(1)

    module = r.Lines(forward)
    graph = r.rewritten(module, *RANK)
    assert r.rank(graph) <= 4
    assert r.difference(graph, module) > 120


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_slices_and_joins_above_rank_four_are_at_rank_three(axis: int) -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x.reshape(3, 4, 4, 2, 8)
        n = y.shape[axis]
        part = y.narrow(axis, 1, n - 1)
        joined = torch.cat([part, part * 2], dim=axis)
        turned = y[..., ::2]
        return torch.cat([joined.flatten(), torch.stack([turned, -turned], dim=axis).flatten()])[None]

    module = r.Lines(forward)
    graph = r.rewritten(module, *RANK)
    assert r.rank(graph) <= 4
    assert r.difference(graph, module) > 300


def test_axes_that_cannot_be_joined_stay() -> None:
    module = r.Lines(lambda self, x: x.reshape(3, 2, 8, 2, 8) * self.gain, gain=torch.rand(3, 1, 8, 1, 8))
    graph = r.rewritten(module, *RANK)
    assert r.rank(graph) == 5
    assert r.difference(graph, module) > 300


def test_two_constants_in_a_row_are_one() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias + self.mask

    module = r.Lines(forward, bias=torch.randn(3, 16, 16), mask=torch.randn(16, 1))
    graph = r.rewritten(module, join_additions.REWRITE)
    assert r.kinds(graph) == {"add": 1} and len(graph.program.constants) + len(graph.program.state_dict) == 1
    assert r.difference(graph, module) > 120


def test_a_sum_that_others_read_too_is_not_joined() -> None:
    module = r.Lines(lambda self, x: (x + self.a) * (x + self.a + self.b), a=torch.rand(16), b=torch.rand(16))
    before = r.rewritten(module)
    assert r.kinds(before)["add"] == 3

    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x + self.a
        return y * (y + self.b)

    module = r.Lines(forward, a=torch.rand(16), b=torch.rand(16))
    assert not r.rewritten(module, join_additions.REWRITE).rewrites
