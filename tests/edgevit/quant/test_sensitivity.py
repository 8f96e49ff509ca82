"""What each site is said to cost alone, against the simulation of a plan that has only that site."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.decibels import sqnr_db
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import DynamicQuantization
from edgevit.quant.algorithms import gptq, kmeans, output_aware
from edgevit.quant.plan import Choices, make_plan
from edgevit.quant.sensitivity import sensitivities
from edgevit.quant.simulate import simulate
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import measured

CHOICES = Choices(output_aware.ALGORITHM, gptq.ALGORITHM, kmeans.ALGORITHM)
PER_TOKEN = DynamicQuantization("int8", "token", symmetric=True)
KINDS = {
    "w8a8": (
        OpCapabilities("linear", "uint8", None, "float32"),
        OpCapabilities("conv", "uint8", "uint8", "int32"),
    ),
    "w8": (OpCapabilities("linear", None, None, "float32"), OpCapabilities("conv", None, None, "float32")),
    "w8da8": (OpCapabilities("linear", None, None, "float32", dynamic=PER_TOKEN),),
    "w4": (OpCapabilities("linear", None, None, "float32", "int4", 8),),
    "lut4": (OpCapabilities("linear", None, None, "float32", "lut4", group=4),),
}


def plans(model: str, images: torch.Tensor) -> tuple[QuantPlan, ...]:
    graph = small.vit_graph() if model == "vit" else small.conv_graph()
    stats = measured(graph, images)
    return tuple(
        make_plan(graph, stats, images, BackendCapabilities("test", name, "float32", kinds), CHOICES)
        for name, kinds in KINDS.items()
    )


@pytest.mark.parametrize("model", ["vit", "conv"])
def test_estimates_are_within_3_db_of_the_site_simulated_alone(model: str) -> None:
    graph = small.vit_graph() if model == "vit" else small.conv_graph()
    images = small.images(32)
    made = plans(model, images)
    estimated = sensitivities(graph, made, images, seed=0)
    with torch.no_grad():
        wanted = simulate(graph, replace(made[0], sites=()), images)[0]
    for plan, found in zip(made, estimated, strict=True):
        assert list(found) == [site.site for site in plan.sites]
        off = []
        for site in plan.sites:
            alone = simulate(graph, replace(plan, sites=(site,)), images)[0]
            signal = wanted.double().square().sum(1)
            cost = ((alone.double() - wanted.double()).square().sum(1) / signal).mean()
            off.append(abs(found[site.site] - sqnr_db(1.0, float(cost))))
        most = sum(o <= 3 for o in off) >= 0.75 * len(off)
        assert most and max(off) < 5, (plan.precision, off)


def test_the_ranking_finds_a_site_that_was_spoilt() -> None:
    graph, images = small.vit_graph(), small.images(16)
    plan = plans("vit", images)[1]
    tensors = dict(plan.tensors)
    tensors["mlp.1.0:linear.weight"] = tensors["mlp.1.0:linear.weight"] // 16 * 16
    (found,) = sensitivities(graph, (replace(plan, tensors=tensors),), images, seed=0)
    assert min(found, key=found.__getitem__) == "mlp.1.0:linear"
