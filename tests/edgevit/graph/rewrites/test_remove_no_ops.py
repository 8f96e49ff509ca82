"""Operations that change nothing go, those that change something stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from edgevit.graph.rewrites import remove_aliases, remove_no_ops
from tests.edgevit.graph.rewrites import _rewritten as r

IDLE: list[Callable[[torch.Tensor], torch.Tensor]] = [
    lambda x: functional.pad(x, (0, 0, 0, 0)),
    lambda x: x[:, 0:3, :16],
    lambda x: x.expand(1, -1, 16, 16),
    lambda x: x.to(torch.float32),
    lambda x: x + 0,
    lambda x: 1 * x,
    lambda x: x / 1.0,
    lambda x: torch.cat([x]),
]
BUSY: list[Callable[[torch.Tensor], torch.Tensor]] = [
    lambda x: functional.pad(x, (0, 1)),
    lambda x: x[..., ::2],
    lambda x: x[:, :1].expand(1, 3, 16, 16),
    lambda x: 0 - x,
    lambda x: 1 / x,
    lambda x: x[:, :1] + torch.zeros(1, 3, 1, 1),
]


@pytest.mark.parametrize("function", IDLE)
def test_what_changes_nothing_goes(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    module = r.Lines(lambda _, x: torch.relu(function(x)))
    graph = r.rewritten(module, remove_aliases.REWRITE, remove_no_ops.REWRITE)
    assert r.kinds(graph) == {"relu": 1}
    assert r.difference(graph, module) > 300


@pytest.mark.parametrize("function", BUSY)
def test_what_changes_something_stays(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    module = r.Lines(lambda _, x: torch.relu(function(x)))
    graph = r.rewritten(module, remove_aliases.REWRITE, remove_no_ops.REWRITE)
    assert r.kinds(graph).total() > 1
    assert r.difference(graph, module) > 300


def test_an_expansion_before_arithmetic_that_broadcasts_goes() -> None:
    module = r.Lines(lambda _, x: x * x.mean(-1, keepdim=True).expand_as(x))
    graph = r.rewritten(module, remove_aliases.REWRITE, remove_no_ops.REWRITE)
    assert r.kinds(graph) == {"mean": 1, "mul": 1}
    assert r.difference(graph, module) > 300
