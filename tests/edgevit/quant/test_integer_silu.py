"""SiLU between integers, and thin convolutions that a model starts with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Graph
from edgevit.quant.check import check_plan
from edgevit.quant.plan import choose_sites, integer_silu_sites, make_plan
from edgevit.quant.simulate import simulate
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import CHOICES, measured

CONV = OpCapabilities("conv", "uint8", "uint8", "int32", sigmoid="uint8")
GATED = BackendCapabilities("test", "w8a8", "float32", (CONV,))
SIXTEENTHS = QuantParams("uint8", (1 / 16,), (0,))


def plan_of(graph: Graph, images: torch.Tensor | None = None) -> QuantPlan:
    return make_plan(graph, measured(graph, small.images(20)), images, GATED, CHOICES)


class Branches(nn.Module):
    """One SiLU for a convolution alone, one for a Concat of convolutions, one for a sum, one for a mean."""

    def __init__(self) -> None:
        super().__init__()
        names = ("alone", "second", "joined", "third", "summed", "fourth")
        widths = ((3, 4), (4, 4), (4, 4), (8, 4), (4, 4), (4, 4))
        for name, (inputs, outputs) in zip(names, widths, strict=True):
            self.add_module(name, nn.Conv2d(inputs, outputs, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        silu = nn.functional.silu
        value = self.second(silu(self.alone(image)))
        value = self.third(torch.cat([value, silu(self.joined(value))], 1))
        value = silu(self.summed(value))
        out: torch.Tensor = silu(self.fourth(value) + value).mean((2, 3))
        return out


def test_a_sigmoid_is_in_8_bits_where_only_integers_come_out_of_the_silu() -> None:
    graph = small.graph_of(small.randomised(Branches()))
    assert integer_silu_sites(graph, GATED, choose_sites(graph, GATED)[0]) == {"alone:conv", "joined:conv"}
    plan = plan_of(graph)
    assert {site.site for site in plan.sites if site.sigmoid is not None} == {"alone:conv", "joined:conv"}
    float_silu = BackendCapabilities("test", "w8a8", "float32", (replace(CONV, sigmoid=None),))
    assert not integer_silu_sites(graph, float_silu, choose_sites(graph, float_silu)[0])


@pytest.mark.parametrize("params", [SIXTEENTHS, None], ids=["as planned", "float"])
def test_the_simulation_rounds_the_sigmoid_of_the_plan(params: QuantParams | None) -> None:
    graph, images = small.conv_graph(), small.images()
    plan = plan_of(graph)
    (stem, depth, *_) = plan.sites
    assert stem.sigmoid == QuantParams("uint8", (1 / 256,), (0,)) and depth.sigmoid is None
    plan = replace(plan, sites=(replace(stem, sigmoid=params), *plan.sites[1:]))

    def layer(value: torch.Tensor, index: int, **how: int) -> torch.Tensor:
        """Fake quantization around a convolution, by PyTorch's own operators."""
        site = plan.sites[index]
        assert site.input is not None and site.output is not None and site.weight is not None
        weight = torch.from_numpy(plan.tensors[f"{site.site}.weight"]).float()
        scales = torch.tensor(site.weight.scale)
        bias = torch.from_numpy(plan.tensors[f"{site.site}.bias"]) * (scales * site.input.scale[0])
        entered = torch.fake_quantize_per_tensor_affine(
            value, site.input.scale[0], site.input.zero_point[0], 0, 255
        )
        real = nn.functional.conv2d(entered, weight * scales.view(-1, 1, 1, 1), bias, **how)
        return torch.fake_quantize_per_tensor_affine(
            real, site.output.scale[0], site.output.zero_point[0], 0, 255
        )

    value = layer(images, 0, stride=2, padding=1)
    sigmoid = value.sigmoid()
    if params is not None:
        sigmoid = torch.fake_quantize_per_tensor_affine(sigmoid, 1 / 16, 0, 0, 255)
    value = nn.functional.silu(layer(value * sigmoid, 1, padding=1, groups=8)).mean((2, 3))
    with torch.no_grad():
        wanted = small.conv_net().head(value)
    assert small.db(wanted, simulate(graph, plan, images)[0]) > 80


def test_layers_are_decided_behind_the_rounded_sigmoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse one moves the mean of what enters the next layer, whose bias makes up for it."""
    graph, images = small.conv_graph(), small.images(64)
    monkeypatch.setattr("edgevit.quant.integer_silu.SIGMOID", QuantParams("uint8", (0.3,), (0,)))
    plan = plan_of(graph, images)
    blind = replace(plan, tensors=plan_of(graph).tensors)
    wanted = simulate(graph, replace(plan, sites=()), images)[0]
    assert small.db(wanted, simulate(graph, plan, images)[0]) > 3 + small.db(
        wanted, simulate(graph, blind, images)[0]
    )


@pytest.mark.parametrize(
    ("site", "sigmoid", "words"),
    [
        (1, QuantParams("uint8", (1 / 256,), (0,)), "no SiLU between integers"),
        (0, SIXTEENTHS, "steps of 1/256"),
    ],
)
def test_a_gate_that_no_file_can_have_is_one_error(site: int, sigmoid: QuantParams, words: str) -> None:
    graph = small.conv_graph()
    plan = plan_of(graph)
    edited = tuple(replace(s, sigmoid=sigmoid) if i == site else s for i, s in enumerate(plan.sites))
    assert check_plan(plan, graph, GATED) == plan
    with pytest.raises(InputError, match=words) as raised:
        check_plan(replace(plan, sites=edited), graph, GATED)
    assert plan.sites[site].site in raised.value.message


def test_thin_convolutions_that_a_model_starts_with_stay_in_float(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stem does 8*64 * 27 products for 768 values in and 512 out: 10.8; the depthwise one 4.5.

    Together with the head's 32 they are 18464, of which the stem is three quarters.
    """
    graph = small.conv_graph()
    monkeypatch.setattr("edgevit.quant.plan.MOST_IN_FLOAT", 1.0)

    def chosen(intensity: float) -> tuple[list[str], dict[str, str]]:
        kinds = (replace(CONV, min_intensity=intensity), replace(CONV, kind="linear", sigmoid=None))
        sites, skipped = choose_sites(graph, replace(GATED, kinds=kinds))
        return [site.name for site in sites], dict(skipped)

    everything = ["stem.0:conv", "depth.0:conv", "head:linear"]
    assert chosen(0)[0] == chosen(10.7)[0] == everything  # thin behind an integer site is no reason
    sites, skipped = chosen(10.9)
    assert sites == ["head:linear"]
    assert "10.8 multiply-accumulates" in skipped["stem.0:conv"] and "4.5" in skipped["depth.0:conv"]
    monkeypatch.setattr("edgevit.quant.plan.MOST_IN_FLOAT", 13824.1 / 18464)
    assert chosen(10.9)[0] == everything[1:]
    monkeypatch.setattr("edgevit.quant.plan.MOST_IN_FLOAT", 13823 / 18464)
    assert chosen(10.9)[0] == everything
