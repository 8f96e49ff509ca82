"""Blocks tuned as a whole: better on images that nobody saw, never worse on those kept apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Stats
from edgevit.program.run import run
from edgevit.quant import reconstruct
from edgevit.quant._site import Choices
from edgevit.quant.algorithms import gptq, kmeans, minmax
from edgevit.quant.check import check_plan
from edgevit.quant.plan import make_plan, measure_output_sensitivity
from edgevit.quant.reconstruct import Tuner, held_out, own_biases, planned_operations
from edgevit.quant.simulate import simulate
from edgevit.registries import ALGORITHMS
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import measured

CHOICES = Choices(minmax.ALGORITHM, gptq.ALGORITHM, kmeans.ALGORITHM)
FOUR = BackendCapabilities(
    "test", "w4", "float32", (OpCapabilities("linear", None, None, "float32", "int4", 8),)
)
LUT = BackendCapabilities(
    "test",
    "lut4",
    "float16",
    (OpCapabilities("linear", None, None, "float32", "lut4", group=4),),
    "float16",
)
STATIC = BackendCapabilities(
    "test",
    "w8a8",
    "float32",
    tuple(OpCapabilities(kind, "uint8", "uint8", "int32") for kind in ("conv", "linear")),
)
IMAGES = 96


@cache
def images(seed: int = 7) -> torch.Tensor:
    return torch.randn(IMAGES, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


@cache
def made(capabilities: BackendCapabilities, seconds: float = 600.0) -> tuple[QuantPlan, QuantPlan, Tuner]:
    """The plan without and with tuning."""
    graph = small.vit_graph()
    static = any(kind.input for kind in capabilities.kinds)
    stats = measured(graph, images()) if static else Stats({}, 0)
    plain = make_plan(graph, stats, images(), capabilities, CHOICES)
    tuner = Tuner(graph, plain, IMAGES, seconds, 0)
    return plain, make_plan(graph, stats, images(), capabilities, CHOICES, None, tuner), tuner


def output_db(plan: QuantPlan, seen: torch.Tensor) -> float:
    graph = small.vit_graph()
    return small.db(run(graph, seen)[0][0], simulate(graph, plan, seen)[0])


@pytest.mark.parametrize("capabilities", [FOUR, LUT], ids=lambda p: p.precision)
def test_four_bits_get_better_on_images_that_nobody_saw(capabilities: BackendCapabilities) -> None:
    graph = small.vit_graph()
    plain, tuned, told = made(capabilities)
    assert (told.blocks, told.tried) == (5, 5) and 0 < told.kept <= 5
    assert output_db(tuned, images(8)) > output_db(plain, images(8)) + 0.5
    assert [s.site for s in tuned.sites] == [s.site for s in plain.sites]
    assert check_plan(tuned, graph, capabilities) == tuned
    lists = [array for name, array in tuned.tensors.items() if name.endswith(".lut")]
    assert all((array == array.astype(np.float16)).all() for array in lists)
    changed = [k for k in tuned.tensors if not np.array_equal(tuned.tensors[k], plain.tensors[k])]
    assert any(k.endswith((".weight", ".lut")) for k in changed) and any(k.endswith(".bias") for k in changed)


def test_the_same_inputs_give_the_same_bytes() -> None:
    graph = small.vit_graph()
    _, tuned, _ = made(FOUR)
    again = make_plan(
        graph, Stats({}, 0), images(), FOUR, CHOICES, None, Tuner(graph, made(FOUR)[0], IMAGES, 900, 0)
    )
    assert all(np.array_equal(again.tensors[k], tuned.tensors[k]) for k in tuned.tensors)


def test_without_time_the_plan_is_the_plain_one() -> None:
    plain, tuned, told = made(FOUR, 0.0)
    assert (told.tried, told.kept) == (0, 0)
    assert all(np.array_equal(plain.tensors[k], tuned.tensors[k]) for k in plain.tensors)


def test_a_block_that_got_worse_on_images_kept_apart_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruct, "WEIGHT_RATE", 30.0)
    monkeypatch.setattr(reconstruct, "STEPS", 3)
    graph = small.vit_graph()
    tuner = Tuner(graph, made(FOUR)[0], IMAGES, 600, 0)
    tuned = make_plan(graph, Stats({}, 0), images(), FOUR, CHOICES, None, tuner)
    assert (tuner.tried, tuner.kept) == (5, 0)
    plain = made(FOUR)[0]
    assert all(np.array_equal(plain.tensors[k], tuned.tensors[k]) for k in plain.tensors)


def test_what_a_block_is_tuned_for_is_what_the_simulation_computes() -> None:
    """All blocks in turn, with grids, a rounded sigmoid and int32 biases, against `simulate`."""
    gated = replace(STATIC, kinds=(replace(STATIC.kinds[0], sigmoid="uint8"), STATIC.kinds[1]))
    for graph, capabilities in ((small.vit_graph(), STATIC), (small.conv_graph(), gated)):
        plan = make_plan(graph, measured(graph, images()), images(), capabilities, CHOICES)
        value = images().unsqueeze(1)
        for block in reconstruct.blocks_of(graph, {site.site for site in plan.sites}):
            with torch.no_grad():
                value = reconstruct.run_block(
                    graph, block, value, planned_operations(plan, block, {}, own_biases(graph))
                )
        wanted = simulate(graph, plan, images())[0]
        exact, _ = run(graph, images())
        assert small.db(wanted, value[:, 0]) > small.db(exact[0], wanted) + 10


def test_the_gradient_of_rounding_is_that_of_clipping() -> None:
    params = QuantParams("uint8", (0.1,), (10,))  # -1 to 24.5
    value = torch.tensor([-2.0, -0.96, 3.04, 24.4, 30.0], requires_grad=True)
    rounded = reconstruct._through(value, params)
    rounded.sum().backward()
    torch.testing.assert_close(rounded.detach(), torch.tensor([-1.0, -1.0, 3.0, 24.4, 24.5]))
    assert value.grad is not None and value.grad.tolist() == [0, 1, 1, 1, 0]


def test_sites_with_a_limit_on_pairs_are_left_alone() -> None:
    kinds = tuple(replace(kind, saturation_limit=128) for kind in FOUR.kinds)
    plan = replace(made(FOUR)[0], capabilities=replace(FOUR, kinds=kinds))
    assert Tuner(small.vit_graph(), plan, IMAGES, 600, 0).blocks == 0


def test_a_block_whose_only_layer_stays_in_float_has_nothing_to_tune() -> None:
    """The head is a block of its own; `float_macs` may take it, or the patches, out of a plan."""
    graph = small.vit_graph()
    algorithm = ALGORITHMS.get("output_aware")
    capabilities = replace(STATIC, float_macs=0.09)
    stats = measure_output_sensitivity(
        graph, images()[:24], measured(graph, images()), (capabilities,), algorithm, 0
    )
    plain = make_plan(graph, stats, images(), capabilities, CHOICES)
    assert "head:linear" in dict(plain.skipped)
    tuner = Tuner(graph, plain, IMAGES, 600, 0)
    tuned = make_plan(graph, stats, images(), capabilities, CHOICES, None, tuner)
    assert tuner.tried == tuner.blocks == 5 and [s.site for s in tuned.sites] == [s.site for s in plain.sites]


@pytest.mark.parametrize(("images", "apart"), [(16, 8), (24, 8), (64, 8), (128, 16), (1000, 125)])
def test_one_image_in_eight_trains_nothing_and_at_least_eight(images: int, apart: int) -> None:
    assert int(held_out(images).sum()) == apart


def test_products_in_integers_are_rounded_in_a_block_and_have_nothing_to_tune() -> None:
    """With all layers, and with the two products as all that is integer."""
    graph = small.vit_graph()
    for words in (("linear", "qk", "av"), ("qk", "av")):
        kinds = tuple(OpCapabilities(word, "int8", None, "float32") for word in words)
        capabilities = BackendCapabilities("test", "w8a8", "float16", kinds, "float16")
        stats = measured(graph, images(), capabilities)
        plain = make_plan(graph, stats, images(), capabilities, CHOICES)
        tuner = Tuner(graph, plain, IMAGES, 600, 0)
        tuned = make_plan(graph, stats, images(), capabilities, CHOICES, None, tuner)
        assert [s.site for s in tuned.sites] == [s.site for s in plain.sites]
        assert check_plan(tuned, graph, capabilities) == tuned
        assert (tuner.tried > 0) == ("linear" in words)
