"""Chains of reshapes and permutations in the fewest steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgevit.graph.rewrites import remove_aliases, simplify_permutes
from tests.edgevit.graph.rewrites import _rewritten as r

REWRITES = (remove_aliases.REWRITE, simplify_permutes.REWRITE)


def windows(x: torch.Tensor) -> torch.Tensor:
    """Swin's: channels last, 4 x 4 windows of 4 x 4 pixels."""
    x = x.permute(0, 2, 3, 1)
    return x.view(1, 4, 4, 4, 4, 3).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 16, 3)


def grid(x: torch.Tensor) -> torch.Tensor:
    """MaxViT's: windows of pixels that lie far apart, five factors that all move."""
    return x.permute(0, 2, 3, 1).view(1, 4, 4, 4, 4, 3).permute(0, 2, 4, 1, 3, 5).reshape(-1, 16, 3)


def patches(x: torch.Tensor) -> torch.Tensor:
    """MobileViT's unfolding of 2 x 2 patches."""
    x = x.reshape(3 * 8, 2, 8, 2).transpose(1, 2).reshape(1, 3, 64, 4)
    return x.transpose(1, 3).reshape(4, 64, 3)


def windows_to_grid(x: torch.Tensor) -> torch.Tensor:
    """torchvision's MaxViT: windows of 3 in 4 rows become a grid of 4 in 3 rows, which share no axis."""
    x = x[..., :12, :12].reshape(1, 16, 9, 3) * 2
    x = x.reshape(1, 4, 4, 3, 3, 3).permute(0, 5, 1, 3, 2, 4).reshape(1, 3, 12, 12)
    return x.reshape(1, 3, 3, 4, 3, 4).permute(0, 2, 4, 3, 5, 1).reshape(1, 9, 16, 3)


@pytest.mark.parametrize(
    ("function", "permutes"),
    [
        (windows_to_grid, 4),
        (windows, 2),
        (grid, 2),
        (patches, 2),
        (lambda x: x.flatten(2).transpose(1, 2), 1),
        (lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).reshape(1, 3, 16, 16), 0),
        (lambda x: x.unsqueeze(0).transpose(1, 2).squeeze(2), 0),
        (lambda x: x.reshape(1, 3, 4, 4, 4, 4).permute(0, 3, 1, 2, 5, 4).movedim(1, 4), 1),
    ],
)
def test_a_chain_has_few_permutations_none_above_rank_four(
    function: Callable[[torch.Tensor], torch.Tensor], permutes: int
) -> None:
    module = r.Lines(lambda _, x: function(x + 1) * 2)
    graph = r.rewritten(module, *REWRITES)
    assert r.kinds(graph)["permute"] == permutes
    assert r.rank(graph) <= max(4, function(torch.zeros(1, 3, 16, 16)).dim())
    assert r.difference(graph, module) > 300


def test_a_result_that_two_chains_read_is_permuted_once() -> None:
    def forward(_: object, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return (tokens + 1).sum() + (tokens.reshape(1, 16, 16, 3) * 2).sum((1, 2))

    module = r.Lines(forward)
    graph = r.rewritten(module, *REWRITES)
    assert r.kinds(graph)["permute"] == 1
    assert r.difference(graph, module) > 300


def test_axes_that_do_not_nest_stay_as_they_are() -> None:
    module = r.Lines(lambda _, x: x[..., :15].reshape(1, 48, 15).transpose(1, 2).reshape(1, 9, 80) + 1)
    graph = r.rewritten(module, *REWRITES)
    assert r.kinds(graph)["reshape"] == 2
    assert r.difference(graph, module) > 300
