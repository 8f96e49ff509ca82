"""q, k and v as slices of the projection's channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.graph.rewrites import remove_aliases, simplify_permutes, split_qkv
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r

REWRITES = (remove_aliases.REWRITE, split_qkv.REWRITE, simplify_permutes.REWRITE)


def unbound(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return y.reshape(1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)


def selected(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = y.unflatten(-1, (3, 8)).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
    return tuple(y[i].view(1, 16, 2, 4).transpose(1, 2) for i in range(3))


def chunked(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    parts = y.transpose(1, 2).chunk(3, 1)
    return tuple(part.transpose(1, 2).reshape(1, 16, 2, 4).transpose(1, 2) for part in parts)


@pytest.mark.parametrize("split", [unbound, selected, chunked])
def test_q_k_and_v_are_slices_of_one_linear_layer(split: object) -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        q, k, v = split(self.qkv(x.flatten(1, 2)[:, :16]))
        out: torch.Tensor = (q @ k.transpose(-2, -1)) @ v
        return out

    module = small.randomised(r.Lines(forward, qkv=nn.Linear(16, 24)))
    graph = r.rewritten(module, *REWRITES)
    slices = [s for s in list_sites(graph) if s.kind == "slice" and s.source == "qkv:linear"]
    assert [s.shape for s in slices] == [(1, 16, 8)] * 3
    assert r.kinds(graph)["linear"] == 1 and r.rank(graph) == 4
    # q, k and v are each permuted once, k at once to what the product reads.
    assert r.kinds(graph)["permute"] == 3 and not r.kinds(graph)["transpose"]
    assert r.difference(graph, module) > 300


def test_parts_of_each_head_are_no_range_of_channels_and_stay() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = self.qkv(x.flatten(1, 2)[:, :16]).view(1, 16, 2, 12).transpose(1, 2)
        q, k, v = y.chunk(3, 3)
        return (q @ k.transpose(-2, -1)) @ v

    module = small.randomised(r.Lines(forward, qkv=nn.Linear(16, 24)))
    graph = r.rewritten(module, *REWRITES)
    assert not [s for s in list_sites(graph) if s.kind == "slice" and s.source == "qkv:linear"]
    assert r.difference(graph, module) > 300
