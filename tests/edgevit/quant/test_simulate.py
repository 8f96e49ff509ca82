"""The simulation of a plan against PyTorch and against integer arithmetic worked out in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Graph
from edgevit.quant.simulate import SiteSimulator, simulate
from tests.converters import _forms as forms
from tests.converters import _small_models as models

# Powers of two, so that no rounding of float32 decides.
INPUT = QuantParams("uint8", (1 / 32,), (100,))
OUTPUT = QuantParams("int8", (1 / 8,), (-5,))


@pytest.fixture(scope="module")
def layers() -> forms.Layers:
    return forms.Layers()


@pytest.fixture(scope="module")
def graph(layers: forms.Layers) -> Graph:
    return models.graph_of(layers)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return models.normalised(models.pixels(2))


def test_rounded_weights_alone_give_what_pytorch_gives_with_them(graph: Graph, images: torch.Tensor) -> None:
    plan = forms.plan(graph, "onnx", "w8", {}, limit=7, block=32, new_bias=False)
    with torch.no_grad():
        wanted = forms.with_weights(plan, graph)(images)
    (found,) = simulate(graph, plan, images)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


def integer_plan(graph: Graph) -> QuantPlan:
    """Linear layers between integers: weight scales of a power of two, biases in int32."""
    plan = forms.plan(graph, "onnx", "w8a8", {"input": INPUT, "output": OUTPUT}, new_bias=False)
    random = np.random.default_rng(3)
    sites, tensors = [], dict(plan.tensors)
    for site in plan.sites:
        if site.kind == "linear":
            count = len(plan.weight(site.site))
            scales = tuple(float(s) for s in 2.0 ** random.integers(-9, -6, count))
            site = replace(site, weight=QuantParams("int8", scales, (0,) * count, 0))
            if site.bias != "none":
                site = replace(site, bias="int32")
                tensors[f"{site.site}.bias"] = random.integers(-4000, 4000, count).astype(np.int32)
        sites.append(site)
    return replace(plan, sites=tuple(sites), tensors=tensors)


def by_hand(plan: QuantPlan, site: SitePlan, value: np.ndarray) -> np.ndarray:
    """Integers of the output for real (tokens, inputs), in int64."""
    assert site.weight is not None
    entered = np.clip(np.rint(value * 32) + 100, 0, 255).astype(np.int64) - 100
    total = entered @ plan.weight(site.site).astype(np.int64).T + plan.bias(site.site).astype(np.int64)
    real = total * np.asarray(site.weight.scale) / 32
    return np.clip(np.rint(real * 8) - 5, -128, 127)


def test_an_integer_layer_is_its_integer_arithmetic(graph: Graph) -> None:
    """Clipping at both ends, zero points and halves to even included."""
    plan = integer_plan(graph)
    simulator = SiteSimulator(graph, plan)
    (site,) = (s for s in plan.sites if s.site == "one:linear")
    value = np.random.default_rng(4).normal(0, 3, (16, 64)).astype(np.float32)
    entered, leaving = simulator.shapes("one:linear")
    assert (entered, leaving) == ((1, 16, 64), (1, 16, 96))
    found = simulator.run("one:linear", torch.from_numpy(value[None]))[0].numpy()
    wanted = by_hand(plan, site, value)
    np.testing.assert_array_equal(found, wanted)
    assert (wanted == 127).any() and (wanted == -128).any() and np.abs(value).max() > 5  # it is clipped, too


def test_the_whole_plan_goes_through_the_output_grid(graph: Graph, images: torch.Tensor) -> None:
    """What leaves the last layer lies on its grid."""
    (found,) = simulate(graph, integer_plan(graph), images)
    steps = found.numpy() * 8 - 5
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert steps.min() >= -128 and steps.max() <= 127


def test_float16_rounds_constants_and_every_result(images: torch.Tensor) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 5)).eval()
    graph = models.graph_of(net, 5)
    plan = replace(forms.plan(graph, "coreml", "w8a8", {}), compute="float16", sites=(), tensors={})
    (found,) = simulate(graph, plan, images)

    def half(value: torch.Tensor) -> torch.Tensor:
        return value.half().float()

    with torch.no_grad():
        layer = net[1]
        wanted = half(half(images).flatten(1) @ half(layer.weight).T + half(layer.bias))
    # The sum is float32 in another order: at most the neighbouring float16.
    np.testing.assert_allclose(found, wanted, rtol=1.1 * 2**-10)
    assert torch.equal(found, half(found)) and not torch.equal(found, net(images))


def test_noise_is_seeded_and_as_small_as_float32(graph: Graph, images: torch.Tensor) -> None:
    plan = replace(forms.plan(graph, "onnx", "w8", {}), sites=(), tensors={})
    (exact,), (first,), (again,), (other,) = (simulate(graph, plan, images, seed) for seed in (None, 1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    relative = float((first - exact).norm() / exact.norm())
    assert 1e-8 < relative < 1e-5
