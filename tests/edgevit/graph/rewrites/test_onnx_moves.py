"""The rewrites that serve ONNX: moves of tokens in fewer operations, with PyTorch's values."""

from __future__ import annotations

import torch
from torch import nn

from edgevit.core.plugins import Rewrite
from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import gather_rows, remove_aliases, split_heads
from edgevit.program.run import run
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small


class Windows(nn.Module):
    """Channels-last, rolled, cut into windows of 4x4, a linear layer, and all the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.inner = nn.Conv2d(3, 24, 2, 2), nn.Linear(24, 24)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).permute(0, 2, 3, 1)
        y = torch.roll(x, (-1, -2), (1, 2)).reshape(1, 2, 4, 2, 4, 24).permute(0, 1, 3, 2, 4, 5)
        y = self.inner(y.reshape(4, 16, 24)).reshape(1, 2, 2, 4, 4, 24).permute(0, 1, 3, 2, 4, 5)
        out: torch.Tensor = x + torch.roll(y.reshape(1, 8, 8, 24), (1, 2), (1, 2))
        return out.mean((1, 2))


class Heads(nn.Module):
    """Attention whose q, k and v come out of one projection, in any `order`."""

    def __init__(self, order: tuple[int, int, int] = (0, 1, 2)) -> None:
        super().__init__()
        self.patch, self.qkv, self.order = nn.Conv2d(3, 12, 4, 4), nn.Linear(12, 36), order

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(image).flatten(2).transpose(1, 2)
        parts = [part.reshape(1, 16, 2, 6).transpose(1, 2) for part in self.qkv(tokens).chunk(3, -1)]
        q, k, v = (parts[i] for i in self.order)
        found: torch.Tensor = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return found.mean(2)


def _adapted(module: nn.Module, **rewrites: Rewrite) -> Graph:
    shared = {"remove_aliases": remove_aliases.REWRITE}
    return adapt(small.graph_of(module, **shared), rewrites, "onnx", planned=False)


def _db(module: nn.Module, graph: Graph) -> float:
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in small.images()])
    return small.db(wanted, run(graph, small.images())[0][0])


def test_rolls_and_windows_become_one_gather_each_way() -> None:
    module = small.randomised(Windows())
    before = adapt(small.graph_of(module, remove_aliases=remove_aliases.REWRITE), {}, "onnx", planned=False)
    after = _adapted(module, gather_rows=gather_rows.REWRITE)
    kinds = [site.kind for site in list_sites(after)]
    assert kinds.count("rows") == 2 and "roll" not in kinds
    assert len(kinds) <= len(list_sites(before)) - 4
    assert _db(module, after) > 120
    assert {"patch:conv", "inner:linear"} <= {site.name for site in list_sites(after)}


def test_a_permutation_that_tears_rows_apart_stays() -> None:
    class Torn(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.reshape(1, 3, 4, 64).permute(0, 3, 2, 1).reshape(1, 16, 48).permute(0, 2, 1) * 2.0

    assert _adapted(Torn(), gather_rows=gather_rows.REWRITE).rewrites == ("remove_aliases",)


def test_q_k_and_v_are_spread_over_the_heads_in_one_permutation() -> None:
    for order in ((0, 1, 2), (2, 0, 1)):
        module = small.randomised(Heads(order))
        after = _adapted(module, split_heads=split_heads.REWRITE)
        kinds = [site.kind for site in list_sites(after)]
        behind = kinds[kinds.index("linear") + 1 : kinds.index("matmul")]
        assert sorted(behind) == ["permute", "permute", "reshape", "split_with_sizes"]
        assert _db(module, after) > 120


def test_a_projection_that_is_read_as_it_stands_too_keeps_its_form() -> None:
    class Both(Heads):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            tokens = self.patch(image).flatten(2).transpose(1, 2)
            out = self.qkv(tokens)
            q, k, v = (part.reshape(1, 16, 2, 6).transpose(1, 2) for part in out.chunk(3, -1))
            found: torch.Tensor = (q @ k.transpose(-2, -1)).softmax(-1) @ v
            pooled: torch.Tensor = found.mean(2) + out.mean()
            return pooled

    assert "split_heads" not in _adapted(Both(), split_heads=split_heads.REWRITE).rewrites
