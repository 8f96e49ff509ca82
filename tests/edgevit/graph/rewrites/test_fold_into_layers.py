"""Batch norm, gains and 1/sqrt(d) disappear into weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgevit.core.errors import UnsupportedError
from edgevit.graph.rewrites import (
    fold_attention_scale,
    fold_batch_norm,
    fold_layer_scale,
    remove_aliases,
    simplify_permutes,
    split_attention,
    split_qkv,
)
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r

Forward = Callable[[r.Lines, torch.Tensor], torch.Tensor]
NORM = (remove_aliases.REWRITE, fold_batch_norm.REWRITE)


def behind(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
    return self.norm(self.layer(x))


def before(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
    return self.layer(self.norm(x))


def behind_tokens(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
    """LeViT's: the norm sees tokens and channels as a matrix."""
    y = self.layer(x.flatten(1, 2))
    return self.norm(y.flatten(0, 1)).reshape_as(y)


def behind_sequence(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
    return self.norm(self.layer(x.flatten(2)))


FOLDED: list[tuple[Forward, nn.Module, nn.Module]] = [
    (behind, nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.BatchNorm2d(6)),
    (behind, nn.ConvTranspose2d(3, 6, 3, 2, groups=3), nn.BatchNorm2d(6)),
    (behind, nn.ConvTranspose2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)),
    (behind_sequence, nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6)),
    (behind_tokens, nn.Linear(16, 6, bias=False), nn.BatchNorm1d(6)),
    (before, nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(3)),
    (before, nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(3, affine=False)),
]


@pytest.mark.parametrize(("forward", "layer", "norm"), FOLDED)
def test_batch_norm_disappears_into_the_layer(forward: Forward, layer: nn.Module, norm: nn.Module) -> None:
    module = small.randomised(r.Lines(forward, layer=layer, norm=norm))
    graph = r.rewritten(module, *NORM)
    assert not {"mul", "add", "batch_norm"} & set(r.kinds(graph))
    assert r.difference(graph, module) > 120


@pytest.mark.parametrize(
    ("forward", "layer", "norm"),
    [
        (before, nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(3)),
        (before, nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(3)),
        (behind, nn.Linear(16, 4), nn.BatchNorm2d(3)),
    ],
)
def test_where_folding_is_not_exact_it_is_a_product_and_a_sum(
    forward: Forward, layer: nn.Module, norm: nn.Module
) -> None:
    module = small.randomised(r.Lines(forward, layer=layer, norm=norm))
    graph = r.rewritten(module, *NORM)
    assert r.kinds(graph)["mul"] == r.kinds(graph)["add"] == 1
    assert r.difference(graph, module) > 120


def test_a_weight_that_two_layers_share_is_not_changed() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(self.layer(x)))

    module = small.randomised(r.Lines(forward, layer=nn.Conv2d(3, 3, 1), norm=nn.BatchNorm2d(3)))
    graph = r.rewritten(module, *NORM)
    assert r.kinds(graph)["mul"] == 1
    assert r.difference(graph, module) > 120


def test_statistics_of_the_image_are_refused_by_name() -> None:
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    module = r.Lines(lambda self, x: self.norm(x), norm=norm)
    with pytest.raises(UnsupportedError, match="batch norm norm computes"):
        r.rewritten(module, *NORM)


@pytest.mark.parametrize(
    ("forward", "layer", "gain"),
    [
        (lambda self, x: self.layer(x) * self.gain, nn.Linear(16, 8), torch.rand(8)),
        (lambda self, x: self.gain * self.layer(x), nn.Conv2d(3, 8, 1, bias=False), torch.rand(8, 1, 1)),
        (lambda self, x: self.layer(x).permute(0, 2, 3, 1) * self.gain, nn.Conv2d(3, 8, 1), torch.rand(8)),
        (lambda self, x: self.layer(x) * self.gain, nn.Linear(16, 8), torch.rand(1)),
    ],
)
def test_layer_scale_disappears_into_the_layer(
    forward: Forward, layer: nn.Module, gain: torch.Tensor
) -> None:
    module = r.Lines(forward, layer=layer, gain=gain)
    graph = r.rewritten(module, remove_aliases.REWRITE, fold_layer_scale.REWRITE)
    assert not r.kinds(graph)["mul"]
    assert r.difference(graph, module) > 120


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.layer(x) * self.rows,
        lambda self, x: (y := self.layer(x)) * self.gain + y,
        lambda self, x: torch.relu(self.layer(x)) * self.gain,
        lambda self, x: self.layer(self.layer(x)) * self.gain,
    ],
)
def test_gains_that_are_not_the_layers_own_stay(forward: Forward) -> None:
    module = r.Lines(forward, layer=nn.Linear(16, 16), gain=torch.rand(16), rows=torch.rand(16, 1))
    graph = r.rewritten(module, remove_aliases.REWRITE, fold_layer_scale.REWRITE)
    assert r.kinds(graph)["mul"] == 1


SCALE = (
    remove_aliases.REWRITE,
    split_attention.REWRITE,
    split_qkv.REWRITE,
    simplify_permutes.REWRITE,
    fold_attention_scale.REWRITE,
)


def test_the_scale_of_attention_goes_into_the_rows_of_q_alone() -> None:
    module = small.randomised(
        r.Lines(lambda self, x: self.attn(x.flatten(2)[..., :8]), attn=small.Attention())
    )
    graph = r.rewritten(module, *SCALE)
    assert not r.kinds(graph)["mul"]
    assert r.difference(graph, module) > 120
    held = module.get_parameter("attn.qkv.weight")
    folded = graph.program.state_dict["attn.qkv.weight"]
    torch.testing.assert_close(folded[:8], held[:8] / 2)
    assert torch.equal(folded[8:], held[8:])


def test_a_scale_behind_the_product_goes_there_too() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x.flatten(2)[..., :16]
        q, k = (p(y).view(1, 3, 2, 4).transpose(1, 2) for p in (self.q, self.k))
        return ((q @ k.transpose(-2, -1)) / 1.7).softmax(-1) @ k

    module = small.randomised(r.Lines(forward, q=nn.Linear(16, 8), k=nn.Linear(16, 8)))
    graph = r.rewritten(module, *SCALE)
    assert not r.kinds(graph)["div"]
    assert r.difference(graph, module) > 120


def test_a_scale_of_values_that_others_read_stays() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        q = self.q(x)
        return (q * 0.3) @ q.transpose(-2, -1)

    module = small.randomised(r.Lines(forward, q=nn.Linear(16, 8)))
    graph = r.rewritten(module, *SCALE)
    assert r.kinds(graph)["mul"] == 1
    assert r.difference(graph, module) > 120
