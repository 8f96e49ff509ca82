"""Layers with one input and products over one element multiply; every other product stays one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgevit.graph.rewrites import single_input_as_multiplication
from tests.edgevit.graph.rewrites import _rewritten as r

Forward = Callable[[r.Lines, torch.Tensor], torch.Tensor]


@pytest.mark.parametrize(
    ("forward", "left"),
    [
        (lambda self, x: self.one(x[..., None]), {"mul": 1, "add": 1}),
        (lambda self, x: self.bare(x[..., :1]), {"mul": 1}),
        (lambda _, x: x[..., :1] @ x[..., :1, :], {"mul": 1}),
        (lambda _, x: x[0, 0, :, :1] @ x[:, :, :1], {"mul": 1}),
        (lambda _, x: x[..., :2] @ x[..., :2, :], {"matmul": 1}),
        (lambda _, x: x[..., :1] @ x[0, 0, 0, :1], {"matmul": 1}),
        (lambda self, x: self.two(x[..., :2]), {"linear": 1}),
    ],
)
def test_what_sums_nothing_multiplies(forward: Forward, left: dict[str, int]) -> None:
    module = r.Lines(forward, one=nn.Linear(1, 3), bare=nn.Linear(1, 5, bias=False), two=nn.Linear(2, 3))
    graph = r.rewritten(module, single_input_as_multiplication.REWRITE)
    kinds = r.kinds(graph)
    assert {kind: kinds[kind] for kind in ("linear", "matmul", "mul", "add") if kinds[kind]} == left
    assert r.difference(graph, module) > 130
