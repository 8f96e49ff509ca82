"""Shifts, unfolding and folding with operators that every runtime has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from edgevit.graph.rewrites import remove_aliases, roll_as_slices, simplify_permutes, unfold_as_conv
from edgevit.program.sites import total_macs
from tests.edgevit.graph.rewrites import _rewritten as r


@pytest.mark.parametrize(
    ("shifts", "dims", "axes"),
    [((3, -5), (2, 3), 2), ((19,), (1,), 1), ((16, -32), (2, 3), 0), ((7,), (), 1), ((0,), (3,), 0)],
)
def test_a_shift_is_two_slices_and_a_concatenation_per_axis(
    shifts: tuple[int, ...], dims: tuple[int, ...], axes: int
) -> None:
    module = r.Lines(lambda _, x: torch.roll(x + 1, shifts, dims))
    graph = r.rewritten(module, roll_as_slices.REWRITE)
    assert (r.kinds(graph)["slice"], r.kinds(graph)["cat"], r.kinds(graph)["roll"]) == (2 * axes, axes, 0)
    assert r.difference(graph, module) > 300


UNFOLDING: list[tuple[Callable[[torch.Tensor], torch.Tensor], set[str]]] = [
    (lambda x: functional.unfold(x, 7, stride=4, padding=2), {"unfold"}),
    (lambda x: functional.unfold(x, (3, 2), dilation=2, padding=1), {"unfold"}),
    (lambda x: functional.unfold(x, 4, stride=4), set()),
    (lambda x: functional.fold(x.reshape(1, 48, 16), (16, 16), 4, stride=4), set()),
    (lambda x: functional.fold(x[..., :3].reshape(1, 9, 16), (9, 9), 3, stride=2), {"fold"}),
    (lambda x: functional.fold(x[..., :3].reshape(1, 9, 16), (10, 7), 3, stride=2, padding=(0, 1)), {"fold"}),
]


@pytest.mark.parametrize(("function", "left"), UNFOLDING)
def test_unfolding_is_a_convolution_that_picks_or_only_a_reordering(
    function: Callable[[torch.Tensor], torch.Tensor], left: set[str]
) -> None:
    module = r.Lines(lambda _, x: function(x + 1) * 2)
    rewrites = (remove_aliases.REWRITE, unfold_as_conv.REWRITE, simplify_permutes.REWRITE)
    graph = r.rewritten(module, *rewrites)
    assert {"unfold", "fold"} & set(r.kinds(graph)) == left
    assert not {"im2col", "col2im"} & set(r.kinds(graph))
    assert r.rank(graph) <= 4 and total_macs(graph) == 0
    assert r.difference(graph, module) > 140
