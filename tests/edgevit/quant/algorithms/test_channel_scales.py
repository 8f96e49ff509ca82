"""Channel scales into the next layers: PyTorch's output stays, the factors are those of the formula, and they help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.core.plans import Placement
from edgevit.core.types import Graph, Stats
from edgevit.graph.run import run
from edgevit.graph.sites import site_of
from edgevit.quant._site import Choices
from edgevit.quant.algorithms import channel_scales, gptq, kmeans, minmax
from edgevit.quant.plan import make_plan
from edgevit.quant.simulate import simulate
from edgevit.registries import OBSERVERS, TARGETS
from tests.edgevit.graph import _small as small


def measured(graph: Graph, images: torch.Tensor) -> Stats:
    """Of every tensor, by the observers themselves."""
    names = ("minmax", *channel_scales.ALGORITHM.observers)

    def at(node: torch.fx.Node, value: torch.Tensor) -> dict[str, torch.Tensor]:
        if not hasattr(value, "amax") or value.dim() < 2:
            return {}
        return {f"{site_of(node)}\t{name}": OBSERVERS.get(name).measure(value) for name in names}

    seen = run(graph, images, observe=at)[1]
    values = {
        tuple(k.split("\t")): OBSERVERS.get(k.split("\t")[1]).combine(v.numpy()) for k, v in seen.items()
    }
    return Stats({(a, b): np.asarray(v) for (a, b), v in values.items()}, len(images))


def test_norms_of_tokens_give_their_scales_to_linear_layers() -> None:
    graph = small.graph_of(small.vit())  # its own copy: the fold works in place
    before = run(graph, small.images())[0][0]
    old = {k: v.clone() for k, v in graph.program.state_dict.items()}
    stats = measured(graph, small.images())
    changed = channel_scales.apply(graph, stats)
    assert changed == ("norm1.0:layer_norm", "norm2.0:layer_norm", "norm1.1:layer_norm", "norm2.1:layer_norm")
    assert small.db(before, run(graph, small.images())[0][0]) > 100
    new = graph.program.state_dict
    factor = old["norm1.0.weight"] / new["norm1.0.weight"]
    torch.testing.assert_close(new["attn.0.qkv.weight"], old["attn.0.qkv.weight"] * factor)
    seen = torch.from_numpy(stats.values["norm1.0:layer_norm", "channel_absmax"])
    by_hand = seen**0.7 / old["attn.0.qkv.weight"].abs().amax(0) ** 0.3
    torch.testing.assert_close(factor, by_hand / by_hand.log().mean().exp())
    assert torch.equal(new["head.weight"], old["head.weight"])


class Maps(nn.Module):
    """Feature maps behind a group norm and behind ReLU, read by convolutions of all kinds, and a linear layer."""

    def __init__(self, reads: str = "") -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, bias=False)
        self.again = nn.Conv2d(8, 8, 1)
        self.depthwise, self.last = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1)
        self.grouped, self.hidden, self.head = nn.Conv2d(8, 8, 1, groups=2), nn.Linear(12, 9), nn.Linear(9, 4)
        self.reads = reads

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(image))
        y = (self.left(x) + self.right(x)).tanh()
        x = y + (x if self.reads == "a sum" else 0) + (self.grouped(x) if self.reads == "groups" else 0)
        x = self.right(x) if self.reads == "a shared weight" else x
        x = functional.leaky_relu(self.depthwise(functional.relu(self.again(x))), 0.2)
        x = functional.silu(self.last(x)).mean((2, 3))
        return self.head(self.hidden(x).relu())  # type: ignore[no-any-return]


def test_maps_give_their_scales_to_convolutions_with_and_without_groups() -> None:
    graph = small.graph_of(small.randomised(Maps()))
    before, old = (
        run(graph, small.images())[0][0],
        {k: v.clone() for k, v in graph.program.state_dict.items()},
    )
    stats = measured(graph, small.images())
    changed = channel_scales.apply(graph, stats)
    assert changed == ("norm:group_norm", ":relu", ":leaky_relu", ":relu.1")
    assert small.db(before, run(graph, small.images())[0][0]) > 100
    new = graph.program.state_dict
    factor = old["norm.weight"] / new["norm.weight"]
    largest = torch.maximum(
        old["left.weight"].abs().amax((0, 2, 3)), old["right.weight"].abs().amax((0, 2, 3))
    )
    by_hand = torch.from_numpy(stats.values["norm:group_norm", "plane_absmax"]) ** 0.7 / largest**0.3
    torch.testing.assert_close(factor, by_hand / by_hand.log().mean().exp())
    torch.testing.assert_close(new["norm.bias"], old["norm.bias"] / factor)
    for name in ("left", "right"):
        torch.testing.assert_close(new[f"{name}.weight"], old[f"{name}.weight"] * factor[:, None, None])
    rows = old["depthwise.bias"] / new["depthwise.bias"]
    entering = old["again.bias"] / new["again.bias"]
    weight = old["depthwise.weight"] * (entering / rows)[:, None, None, None]
    torch.testing.assert_close(new["depthwise.weight"], weight)
    torch.testing.assert_close(new["last.weight"], old["last.weight"] * rows[:, None, None])
    assert torch.equal(new["last.bias"], old["last.bias"])  # SiLU is not homogeneous


def test_a_depthwise_layer_takes_the_scales_in_its_rows() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(image).relu()).mean((2, 3))  # type: ignore[no-any-return]

    graph = small.graph_of(small.randomised(Chain()))
    before, old = (
        run(graph, small.images())[0][0],
        {k: v.clone() for k, v in graph.program.state_dict.items()},
    )
    assert channel_scales.apply(graph, measured(graph, small.images())) == (":relu",)
    assert small.db(before, run(graph, small.images())[0][0]) > 100
    factor = old["first.bias"] / graph.program.state_dict["first.bias"]
    now = graph.program.state_dict["second.weight"]
    torch.testing.assert_close(now, old["second.weight"] * factor[:, None, None, None])


@pytest.mark.parametrize("reads", ["a sum", "groups", "a shared weight"])
def test_a_value_that_anything_else_reads_keeps_its_scales(reads: str) -> None:
    graph = small.graph_of(small.randomised(Maps(reads)))
    assert "norm:group_norm" not in channel_scales.apply(graph, measured(graph, small.images()))


def test_channels_of_very_different_size_are_quantized_as_well_as_equal_ones() -> None:
    """Scaled by powers of two from 2^-4 to 2^4 behind the norm and ReLU, and undone in the next weights: exact."""
    module = small.randomised(Maps())
    spoiled = small.randomised(Maps())
    powers = 2.0 ** torch.arange(-4, 4)
    with torch.no_grad():
        for name in ("norm.weight", "norm.bias"):
            spoiled.get_parameter(name).mul_(powers)
        for name in ("left.weight", "right.weight"):
            spoiled.get_parameter(name).div_(powers[:, None, None])
        spoiled.get_parameter("depthwise.weight").mul_(powers[:, None, None, None])
        spoiled.get_parameter("depthwise.bias").mul_(powers)
        spoiled.get_parameter("last.weight").div_(powers[:, None, None])
    images = small.images(32)

    def loss(model: nn.Module, fold: bool) -> float:
        graph = small.graph_of(model)
        reference = run(graph, images)[0][0]
        if fold:
            channel_scales.apply(graph, measured(graph, images))
        plan = make_plan(graph, measured(graph, images), images, W8A8, CHOICES)
        return small.db(reference, simulate(graph, plan, images)[0])

    equal, bad, mended = loss(module, True), loss(spoiled, False), loss(spoiled, True)
    assert mended > bad + 5 and mended > equal - 3


CHOICES = Choices(minmax.ALGORITHM, gptq.ALGORITHM, kmeans.ALGORITHM)
_PLACED = TARGETS.get("onnx").placement("w8a8", {"start": "integer"})
assert _PLACED is not None
W8A8: Placement = replace(_PLACED, float_share=0.0)
