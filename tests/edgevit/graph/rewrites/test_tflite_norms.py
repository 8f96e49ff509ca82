"""The rewrites of norms that serve TFLite, with PyTorch's values."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import expand_norms, fold_norm_affine, remove_aliases
from edgevit.program.run import run
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small


class Tokens(nn.Module):
    """A layer norm in front of three linear layers, rolled along the tokens and cut into windows."""

    def __init__(self, outside: bool = False, transposed: bool = False) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 12, 2, 2), nn.LayerNorm(12)
        self.q, self.k = nn.Linear(12, 8), nn.Linear(12, 8, bias=False)
        self.outside, self.transposed = outside, transposed

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.patch(image).permute(0, 2, 3, 1))
        y = torch.cat([x[:, 2:], x[:, :2]], 1).reshape(1, 2, 4, 2, 48).permute(0, 1, 3, 2, 4)
        y = y.reshape(4, 16, 12)
        if self.transposed:
            y = y.transpose(1, 2).reshape(4, 16, 12)
        z = self.q(y) + self.k(y)
        return z.mean(1).reshape(1, 32) + (x.mean() if self.outside else 0)


class Groups(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 12, 3), nn.GroupNorm(groups, 12), nn.LayerNorm([3, 12])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(image) + 300)
        return self.last(x.mean(2)[:, :, :3].transpose(1, 2)).flatten(1)


def _adapted(module: nn.Module, *names: str) -> Graph:
    offered = {"expand_norms": expand_norms.REWRITE, "fold_norm_affine": fold_norm_affine.REWRITE}
    graph = small.graph_of(module, remove_aliases=remove_aliases.REWRITE)
    return adapt(graph, {n: offered[n] for n in names}, "tflite", planned=False)


def _db(module: nn.Module, graph: Graph) -> float:
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in small.images()])
    return small.db(wanted, run(graph, small.images())[0][0])


def test_gamma_and_beta_go_into_all_linear_layers_behind_rolls_and_windows() -> None:
    module = small.randomised(Tokens())
    after = _adapted(module, "fold_norm_affine", "expand_norms")
    assert after.rewrites[-2:] == ("fold_norm_affine", "expand_norms")
    kinds = [site.kind for site in list_sites(after)]
    assert "layer_norm" not in kinds and kinds.count("mul") == 2  # the square, and times 1 / deviation
    assert _db(module, after) > 110


@pytest.mark.parametrize("change", ["outside", "transposed"])
def test_a_norm_that_something_else_reads_keeps_its_gamma(change: str) -> None:
    module = small.randomised(Tokens(**{change: True}))
    after = _adapted(module, "fold_norm_affine")
    assert "fold_norm_affine" not in after.rewrites
    assert _db(module, after) > 110


@pytest.mark.parametrize("groups", [1, 3])
def test_norms_of_a_large_mean_keep_their_variance(groups: int) -> None:
    """Against PyTorch in float64: squaring before centring would lose everything."""
    module = small.randomised(Groups(groups))
    after = _adapted(module, "expand_norms")
    assert not {"layer_norm", "group_norm"} & {site.kind for site in list_sites(after)}
    with torch.no_grad():
        exact = copy.deepcopy(module).double()
        wanted = torch.cat([exact(image[None].double()) for image in small.images()])
    assert small.db(wanted.float(), run(after, small.images())[0][0]) > 80


def test_files_with_a_plan_keep_the_layers_as_they_were() -> None:
    assert fold_norm_affine.REWRITE.float_only and not expand_norms.REWRITE.float_only
