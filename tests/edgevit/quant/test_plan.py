"""Plans made for a small transformer, and their simulation against arithmetic written out here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from calibration.collect import collect
from calibration.observers import channel_absmax as absmax_observer
from calibration.observers import channel_moments as moments_observer
from calibration.observers import minmax as minmax_observer
from edgevit.core import metadata_keys
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.types import Graph, Stats
from edgevit.program import graph_file
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.quant._site import Choices, channel_limits
from edgevit.quant.algorithms import (
    gptq,
    kmeans,
    layernorm_to_rmsnorm,
    minmax,
    nearest,
    output_aware,
    smooth_activations,
)
from edgevit.quant.plan import make_plan, measure_output_sensitivity, wanted_tensors
from edgevit.quant.simulate import SiteSimulator, _scaled, simulate
from edgevit.quant.weights import weights_digest
from tests.edgevit.graph import _small as small
from tests.edgevit.graph._residual import Residual

OBSERVERS = {
    "minmax": minmax_observer.OBSERVER,
    "channel_absmax": absmax_observer.OBSERVER,
    "channel_moments": moments_observer.OBSERVER,
}
W8A8 = BackendCapabilities(
    target="test",
    precision="w8a8",
    compute="float32",
    kinds=(
        OpCapabilities("linear", "uint8", None, "float32"),
        OpCapabilities("conv", "int8", "int8", "int32"),
    ),
)
CHOICES = Choices(minmax.ALGORITHM, nearest.ALGORITHM, kmeans.ALGORITHM)
W8 = BackendCapabilities("test", "w8", "float32", (OpCapabilities("linear", None, None, "float32"),))


def measured(graph: Graph, images: torch.Tensor, *backends: BackendCapabilities) -> Stats:
    wanted = wanted_tensors(graph, tuple(OBSERVERS), backends)
    return collect(
        lambda look: run(graph, images, observe=lambda node, value: look(site_of(node), value))[1],
        wanted,
        OBSERVERS,
        len(images),
    )


@cache
def plan_of(capabilities: BackendCapabilities) -> QuantPlan:
    graph = small.vit_graph()
    stats = measured(graph, small.images(20)) if capabilities is W8A8 else Stats({}, 0)
    return make_plan(graph, stats, None, capabilities, CHOICES)


def site(plan: QuantPlan, name: str) -> SitePlan:
    return next(s for s in plan.sites if s.site == name)


def fake(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    low, high = (0, 255) if params.dtype == "uint8" else (-128, 127)
    return torch.fake_quantize_per_tensor_affine(value, params.scale[0], params.zero_point[0], low, high)


def test_every_weighted_site_is_planned_and_every_product_is_skipped_with_a_reason() -> None:
    plan = plan_of(W8A8)
    described = [s for s in list_sites(small.vit_graph()) if s.macs]
    assert [s.site for s in plan.sites] == [s.name for s in described if s.kind in ("linear", "conv")]
    assert dict(plan.skipped) == {
        s.name: f"{s.kind} is computed in float32" for s in described if s.kind in ("qk", "av")
    }
    assert plan.graph_sha256 == weights_digest(small.vit_graph())
    conv, linear = site(plan, "patch:conv"), site(plan, "head:linear")
    assert (conv.bias, linear.bias) == ("int32", "float32")
    assert conv.output is not None and linear.output is None
    assert {k: v.dtype.name for k, v in plan.tensors.items() if k.startswith("patch")} == {
        "patch:conv.weight": "int8",
        "patch:conv.bias": "int32",
    }


def test_activation_grids_cover_what_the_calibration_images_reach() -> None:
    images = small.images(20)
    params = site(plan_of(W8A8), "patch:conv").input
    assert params is not None
    assert params.scale[0] == pytest.approx(float(images.max() - images.min()) / 255, rel=1e-6)


def test_int8_weights_and_int32_bias_are_within_half_a_step() -> None:
    plan, module = plan_of(W8A8), small.vit()
    planned = site(plan, "patch:conv")
    assert planned.weight is not None and planned.input is not None
    scale = torch.tensor(planned.weight.scale)
    weight = torch.from_numpy(plan.tensors["patch:conv.weight"]) * scale.view(-1, 1, 1, 1)
    wanted = module.get_submodule("patch")
    assert ((weight - wanted.weight).abs() <= 0.5001 * scale.view(-1, 1, 1, 1)).all()
    step = scale * planned.input.scale[0]
    assert (
        (torch.from_numpy(plan.tensors["patch:conv.bias"]) * step - wanted.bias).abs() <= 0.5001 * step
    ).all()


def test_a_site_simulated_alone_is_fake_quantization_around_the_operation() -> None:
    plan, graph = plan_of(W8A8), small.vit_graph()
    simulator = SiteSimulator(graph, plan)
    module = small.vit()
    value = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(3))
    planned, layer = site(plan, "attn.0.qkv:linear"), module.get_submodule("attn.0.qkv")
    assert planned.input is not None and planned.weight is not None
    scales, zeros = torch.tensor(planned.weight.scale), torch.zeros(24, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(layer.weight, scales, zeros, 0, -127, 127)
    wanted = nn.functional.linear(fake(value, planned.input), weight, layer.bias)
    torch.testing.assert_close(simulator.run("attn.0.qkv:linear", value), wanted)

    planned, layer = site(plan, "patch:conv"), module.get_submodule("patch")
    assert planned.input is not None and planned.weight is not None and planned.output is not None
    scales, zeros = torch.tensor(planned.weight.scale), torch.zeros(8, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(layer.weight, scales, zeros, 0, -127, 127)
    real = nn.functional.conv2d(fake(small.images(), planned.input), weight, layer.bias, stride=8)
    integers = simulator.run("patch:conv", small.images())
    assert torch.equal(integers, integers.round()) and integers.min() >= -128 and integers.max() <= 127
    got = (integers - planned.output.zero_point[0]) * planned.output.scale[0]
    assert float((got - fake(real, planned.output)).abs().max()) <= 1.001 * planned.output.scale[0]
    assert simulator.shapes("patch:conv") == ((1, 3, 16, 16), (1, 8, 2, 2))


def test_a_planned_site_is_summed_without_rounding_as_integer_kernels_do() -> None:
    """Else the sums of float32 alone would differ from a right file by more than the noise floor."""
    plan = plan_of(W8A8)
    planned = site(plan, "patch:conv")
    assert planned.input is not None and planned.weight is not None and planned.output is not None
    steps = ((small.images().double() / planned.input.scale[0]).round() + planned.input.zero_point[0]).clamp(
        -128, 127
    ) - planned.input.zero_point[0]
    weight, bias = (torch.from_numpy(plan.tensors[f"patch:conv.{n}"]).double() for n in ("weight", "bias"))
    total = nn.functional.conv2d(steps, weight, bias, stride=8)
    scale = torch.tensor(planned.weight.scale, dtype=torch.float64) * planned.input.scale[0]
    wanted = (total * scale.view(-1, 1, 1) / planned.output.scale[0]).round() + planned.output.zero_point[0]
    got = SiteSimulator(small.vit_graph(), plan).run("patch:conv", small.images())
    assert torch.equal(got.double(), wanted.clamp(-128, 127))


def test_weights_only_is_the_model_with_rounded_weights() -> None:
    plan = plan_of(W8)
    module = small.vit()
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            scale = layer.weight.abs().amax(1) / 127
            layer.weight.copy_((layer.weight / scale[:, None]).round() * scale[:, None])
            assert site(plan, f"{name}:linear").input is None
    with torch.no_grad():
        wanted = module(small.images())
    assert small.db(wanted, simulate(small.vit_graph(), plan, small.images())[0]) > 80


def test_a_quantized_model_is_close_and_noise_moves_it_less_than_quantization_does() -> None:
    graph, images = small.vit_graph(), small.images()
    with torch.no_grad():
        wanted = small.vit()(images)
    quantized = simulate(graph, plan_of(W8A8), images)[0]
    assert small.db(wanted, quantized) > 25
    first, second = (simulate(graph, plan_of(W8A8), images, noise_seed=seed)[0] for seed in (1, 2))
    assert torch.equal(first, simulate(graph, plan_of(W8A8), images, noise_seed=1)[0])
    assert small.db(wanted, quantized) < small.db(first, second)


def test_a_site_fed_by_a_constant_stays_float_with_a_reason() -> None:
    class Coordinates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer, self.head = (
                nn.Buffer(torch.randn(16, 2)),
                nn.Linear(2, 16),
                nn.Linear(16, 4),
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(image.mean(1) + self.layer(self.table))
            return out

    graph = small.graph_of(small.randomised(Coordinates()))
    plan = make_plan(graph, measured(graph, small.images()), None, W8A8, CHOICES)
    assert [s.site for s in plan.sites] == ["head:linear"]
    assert dict(plan.skipped)["layer:linear"].startswith("its input is a constant")


def test_layernorm_folds_change_constants_and_not_the_output() -> None:
    graph = small.graph_of(small.vit())  # its own copy: the fold works in place
    before = run(graph, small.images())[0][0]
    old = {k: v.clone() for k, v in graph.program.state_dict.items()}
    stats = measured(graph, small.images())
    changed = smooth_activations.apply(graph, stats)
    assert changed == ("norm1.0:layer_norm", "norm2.0:layer_norm", "norm1.1:layer_norm", "norm2.1:layer_norm")
    assert small.db(before, run(graph, small.images())[0][0]) > 100
    new = graph.program.state_dict
    factor = old["norm1.0.weight"] / new["norm1.0.weight"]
    torch.testing.assert_close(new["attn.0.qkv.weight"], old["attn.0.qkv.weight"] * factor)
    seen = torch.from_numpy(stats.values["norm1.0:layer_norm", "channel_absmax"])
    by_hand = seen**0.7 / old["attn.0.qkv.weight"].abs().amax(0) ** 0.3
    torch.testing.assert_close(factor, by_hand / by_hand.log().mean().exp())
    assert torch.equal(new["head.weight"], old["head.weight"])


def test_rounding_goes_to_the_nearest_step_and_never_to_minus_128() -> None:
    weight, scale = torch.tensor([[[0.5, 1.5, -2.6, -200.0]]]), torch.tensor([[[1.0]]])
    got = nearest.round_weight(weight, scale, None, 127, None)
    assert got.dtype == torch.int8 and got.tolist() == [[[0, 2, -3, -127]]]
    assert nearest.round_weight(weight, scale, None, 127, 128).tolist() == [[[0, 2, -3, -125]]]


def sharper() -> Choices:
    return Choices(output_aware.ALGORITHM, gptq.ALGORITHM, kmeans.ALGORITHM)


@pytest.mark.parametrize("form", ["int8", "int4", "lut4"])
def test_images_make_every_form_of_weights_better(form: Literal["int8", "int4", "lut4"]) -> None:
    graph, images = small.vit_graph(), small.images(40)
    kind = OpCapabilities("linear", None, None, "float32", form, block=8 if form == "int4" else None, group=4)
    capabilities = BackendCapabilities("test", form, "float32", (kind,))
    with torch.no_grad():
        wanted = small.vit()(images)
    plain, better = (
        simulate(graph, make_plan(graph, Stats({}, 0), seen, capabilities, sharper()), images)[0]
        for seen in (None, images)
    )
    assert small.db(wanted, better) > small.db(wanted, plain) + 2


def test_ends_keep_eight_bits_whatever_the_precision() -> None:
    kind = OpCapabilities("linear", None, None, "float32", "lut4", group=4)
    plan = make_plan(
        small.vit_graph(),
        Stats({}, 0),
        None,
        BackendCapabilities("test", "lut4", "float32", (kind,)),
        sharper(),
    )
    forms = ["palette" if s.palette else s.weight and s.weight.dtype for s in plan.sites]
    assert forms == ["int8", *["palette"] * (len(forms) - 2), "int8"]


def test_tokens_are_scaled_to_one_where_scaling_back_is_cheap() -> None:
    """The small transformer's layers have 8 channels, its MLPs 16, its three classes come from 8."""
    scaled = DynamicQuantization("uint8", "tensor", symmetric=False, normalized=True)
    kind = OpCapabilities("linear", None, None, "float32", dynamic=scaled)
    graph = small.vit_graph()
    plan = make_plan(
        graph, Stats({}, 0), None, BackendCapabilities("test", "w8da8", "float32", (kind,)), CHOICES
    )
    weights = {s.name: graph.program.state_dict[s.weight].shape for s in list_sites(graph) if s.weight}
    found = {s.site: s.dynamic.normalized for s in plan.sites if s.dynamic is not None}
    assert found == {name: weights[name][0] <= weights[name][1] for name in found}
    assert len(found) == len(plan.sites) and set(found.values()) == {True, False}


def test_an_output_takes_a_scale_for_each_channel_where_it_costs_half() -> None:
    graph, images = small.graph_of(small.vit()), small.images(24)
    weight = graph.program.state_dict["attn.0.proj.weight"]
    weight[0] *= 60.0  # one large channel, and all others on a coarse grid
    kind = OpCapabilities("linear", "int8", "int8", "int32", output_channels=True)
    capabilities = BackendCapabilities("test", "w8a8", "float32", (kind,))
    stats = measure_output_sensitivity(
        graph, images, measured(graph, images), (capabilities,), output_aware.ALGORITHM, 0
    )
    plan = make_plan(graph, stats, images, capabilities, sharper())
    output = site(plan, "attn.0.proj:linear").output
    assert output is not None and output.axis == 2 and len(output.scale) == 8
    assert output.scale[0] > 20 * output.scale[1] and not any(output.zero_point)
    assert (stats.values["attn.0.proj:linear", "channel_absmax"] <= 127.001 * np.array(output.scale)).all()


def test_a_channel_seen_few_times_reaches_as_far_as_its_variance_says() -> None:
    """16 values of a normal distribution end at 1.8 sigma, those of many images at 4."""
    seen = np.random.default_rng(0).normal(3.0, 2.0, (16, 500)).astype(np.float32)
    moments = np.stack([seen.mean(0), seen.var(0)])
    stats = Stats({("a", "channel_absmax"): np.abs(seen).max(0), ("a", "channel_moments"): moments}, 16)
    limits = np.array(channel_limits(stats, "a", (1, 500)))
    assert (limits >= np.abs(seen).max(0)).all()
    assert np.median(limits) == pytest.approx(3.0 + 4 * 2.0, rel=0.1)
    assert channel_limits(stats, "a", (1, 1000, 500)) == np.abs(seen).max(0).tolist()


def test_a_norm_without_a_mean_is_root_mean_square_norm() -> None:
    value, gamma, beta = torch.randn(2, 5, 12), torch.randn(12), torch.randn(12)
    wanted = torch.nn.functional.rms_norm(value, [12], gamma, 1e-3) + beta
    torch.testing.assert_close(_scaled(value, [12], gamma, beta, 1e-3), wanted)
    torch.testing.assert_close(_scaled(value, [12]), torch.nn.functional.rms_norm(value, [12], eps=1e-5))


def test_norms_that_the_fold_marked_are_simulated_without_a_mean(tmp_path: Path) -> None:
    """The stream was centred; rounding its parts has given it a small mean again."""
    graph = small.graph_of(small.randomised(Residual("mean")))
    layernorm_to_rmsnorm.ALGORITHM.apply(graph, Stats({}, 0))
    plan = make_plan(graph, measured(graph, small.images()), None, W8A8, CHOICES)
    graph_file.save(graph, tmp_path / "folded.pt2")
    stored = graph_file.load(tmp_path / "folded.pt2")
    for node in graph.program.graph_module.graph.nodes:
        (node.meta.get("custom") or {}).pop(metadata_keys.MEAN_FREE, None)
    plain, without = (simulate(g, plan, small.images())[0] for g in (graph, stored))
    assert 20 < small.db(plain, without) < 100
