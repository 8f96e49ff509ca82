"""Blocks that one tensor enters and one leaves, and what they compute."""

from __future__ import annotations

import torch
from torch import nn

from edgevit.program.blocks import blocks_of, run_block
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small


def test_a_transformer_is_cut_at_its_residual_sums_and_its_blocks_compute_the_model() -> None:
    graph, images = small.vit_graph(), small.images()
    linear = {site.name for site in list_sites(graph) if site.kind in ("linear", "conv")}
    blocks = blocks_of(graph, linear)
    assert [sorted(block.sites & linear) for block in blocks] == [
        ["patch:conv"],
        ["attn.0.proj:linear", "attn.0.qkv:linear"],
        ["mlp.0.0:linear", "mlp.0.3:linear"],
        ["attn.1.proj:linear", "attn.1.qkv:linear"],
        ["mlp.1.0:linear", "mlp.1.3:linear"],
        ["head:linear"],
    ]
    value = images.unsqueeze(1)
    for before, block in zip((None, *blocks), blocks, strict=False):
        assert before is None or block.entry is before.nodes[-1]
        value = run_block(graph, block, value, chunk=2)
    with torch.no_grad():
        assert small.db(small.vit()(images), value[:, 0]) > 110


def test_blocks_without_a_wanted_site_belong_to_the_next_and_around_replaces_results() -> None:
    graph, images = small.vit_graph(), small.images()
    (block,) = blocks_of(graph, {"head:linear"})
    assert {"patch:conv", "mlp.1.3:linear", "head:linear"} <= block.sites
    left = run_block(
        graph,
        block,
        images.unsqueeze(1),
        lambda node, args: args[0] * 0 if "layer_norm" in str(node.target) else None,
    )
    module = small.vit()
    for name in ("norm1", "norm2"):
        setattr(module, name, nn.ModuleList([_Zero(), _Zero()]))
    with torch.no_grad():
        assert small.db(module(images), left[:, 0]) > 110


def test_no_block_of_a_model_with_two_live_tensors_throughout() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.first(image), self.second(image)

    graph = small.export_model(small.model_of(small.randomised(Two()), outputs=2), small.REWRITES)
    assert blocks_of(graph, {"first:conv"}) == ()


class _Zero(nn.Module):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value * 0
