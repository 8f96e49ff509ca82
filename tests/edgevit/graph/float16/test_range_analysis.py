"""What float16 spoils is found, and nothing else: models that are made to overflow, and ordinary ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgevit.core.types import Graph
from edgevit.graph.float16.measure import Edge, Loss
from edgevit.graph.float16.range_analysis import decide, scan
from edgevit.graph.float16.run import run_half
from edgevit.program.run import run
from tests._float16 import offset_stream, overflowing_mlp, small_stream, vit
from tests.edgevit.graph._small import db, graph_of, images, model_of

FC = ("fc1:linear", "act:gelu", "fc2:linear")


def found(graph: Graph) -> dict[str, str]:
    return {kept.site: kept.reason for kept in scan(graph, images(4, 32))}


def vit_graph(change: Callable[[nn.Module], None] | None = None) -> Graph:
    from edgevit.graph.export import export_model
    from edgevit.registries import REWRITES

    module = vit()
    if change is not None:
        change(module)
    return export_model(model_of(module, size=32), {n: REWRITES.get(n) for n in REWRITES.names()})


def test_an_ordinary_vit_has_nothing_to_keep() -> None:
    assert found(vit_graph()) == {}


def test_hidden_activations_beyond_the_range_are_kept_with_what_makes_and_reads_them() -> None:
    graph = vit_graph(overflowing_mlp)
    kept = found(graph)
    assert set(kept) == {f"blocks.{block}.mlp.{name}" for block in (0, 1) for name in FC}
    assert all("e+06, and float16 ends at 65504" in reason for reason in kept.values())
    exact = run(graph, images(4, 32))[0][0]
    assert db(exact, run_half(graph, images(4, 32), kept)[0]) > 50


def test_variances_below_float16s_precision_keep_the_norms_alone() -> None:
    kept = found(vit_graph(small_stream))
    norms = {f"blocks.{block}.norm{n}:layer_norm" for block in (0, 1) for n in (1, 2)}
    assert set(kept) == {*norms, "norm:layer_norm"}
    assert all(reason.startswith("its variance and epsilon in float16 leave") for reason in kept.values())


def test_a_large_common_offset_keeps_the_stream_that_carries_it() -> None:
    graph = vit_graph(offset_stream)
    kept = found(graph)
    roles = {site.rpartition(":")[2].partition(".")[0] for site in kept}
    assert roles == {"add", "layer_norm"} and len(kept) == 10
    assert kept["blocks.0:add"] == "blocks.0.norm2:layer_norm reads it and needs float32"
    exact = run(graph, images(4, 32))[0][0]
    assert db(exact, run_half(graph, images(4, 32))[0]) < 20
    assert db(exact, run_half(graph, images(4, 32), kept)[0]) > 40


class Masked(nn.Module):
    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, 8, 4, 4)
        self.register_buffer("mask", torch.zeros(8, 16).masked_fill(torch.eye(8, 16) > 0, hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj(x).flatten(2)
        return (x + self.mask).softmax(-1)


@pytest.mark.parametrize("hidden", [-100.0, -math.inf, torch.finfo(torch.float32).min])
def test_masks_that_stand_for_minus_infinity_are_no_overflow(hidden: float) -> None:
    torch.manual_seed(0)
    assert scan(graph_of(Masked(hidden).eval()), images()) == ()


class Buried(nn.Module):
    """A branch far below float16's smallest number, added to ordinary values."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch: torch.Tensor = self.conv(x) * self.scale
        return x + branch


def test_what_a_later_sum_buries_is_no_loss() -> None:
    torch.manual_seed(0)
    assert scan(graph_of(Buried(1e-9).eval()), images()) == ()


class Flushed(nn.Module):
    """Weights that float16 flushes to zero, behind a convolution that makes up for them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3, bias=False)
        with torch.no_grad():
            self.up.weight *= 1e4
            self.down.weight *= 1e-8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.down(self.up(x))
        return y * 1e4


def test_weights_that_float16_flushes_to_zero_keep_their_site() -> None:
    torch.manual_seed(0)
    kept = {k.site: k.reason for k in scan(graph_of(Flushed().eval()), images())}
    assert kept["down:conv"].startswith("its constants in float16 leave 0.")


def test_allowed_noise_goes_back_through_the_gain_that_was_seen() -> None:
    """Worked out by hand: b amplifies the rounding of a ten thousandfold, so a must not be rounded."""
    losses = (
        Loss("image", 1.0, 1.0, 1e-8),
        Loss("a", 1.0, 1.0, 1e-8, edges=(Edge("image", 1e-8),)),
        Loss("b", 1.0, 1.0, 1e-8, edges=(Edge("a", 1e-3),)),
    )
    kept = decide(losses, ("b",))
    # b may carry 1e-4; rounding a brings 1e-3, a gain of 1e5, so a may carry 1e-9, below what image brings
    assert [(k.site, k.reason) for k in kept] == [
        ("a", "b reads it and needs float32"),
        ("b", "its input rounded to float16 leaves 30.0 dB of its result"),
    ]
    assert decide(losses, ("b",), required_db=29.0) == ()


class Sampled(nn.Module):
    """A fine pattern read at places that a network computes: small errors of the places are large ones there."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.head = nn.Conv2d(3, 2, 4, 4), nn.Linear(16, 4)
        self.register_buffer("pattern", torch.randn(1, 1, 512, 512))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = torch.tanh(self.places(x)).permute(0, 2, 3, 1)
        read = nn.functional.grid_sample(self.pattern, grid, align_corners=False)
        out: torch.Tensor = self.head(read.flatten(1))
        return out


def test_what_computes_the_places_of_a_sampler_is_kept() -> None:
    torch.manual_seed(0)
    graph = graph_of(Sampled().eval())
    exact = run(graph, images())[0][0]
    kept = {k.site: k.reason for k in scan(graph, images())}
    assert db(exact, run_half(graph, images())[0]) < 30
    assert db(exact, run_half(graph, images(), kept)[0]) > 46
    assert {"places:conv", ":tanh", ":grid_sampler"} <= set(kept) and "head:linear" not in kept


class Magnifying(nn.Module):
    """Steps that each lose nothing alone and double every error of the ones before: chaos in small."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 4, 4)
        self.last = nn.Linear(128, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sin(self.first(x))
        for _ in range(12):
            x = torch.sin(2.8 * x)
        out: torch.Tensor = self.last(x.flatten(1))
        return out


def test_where_many_small_losses_are_magnified_a_stretch_is_kept_and_its_ends_are_named() -> None:
    torch.manual_seed(0)
    graph = graph_of(Magnifying().eval())
    exact = run(graph, images())[0][0]
    kept = {k.site: k.reason for k in scan(graph, images())}
    assert db(exact, run_half(graph, images())[0]) < 40
    assert db(exact, run_half(graph, images(), kept)[0]) > 42
    assert 0 < len(kept) < 26 and "last:linear" not in kept
    assert all(reason.startswith("later operations magnify what ") for reason in kept.values())
