"""`onnx.saturation_free`: weights that x86 kernels without VNNI multiply exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.onnx import TARGET
from converters.onnx import pairs as weight_pairs
from edgevit.core.errors import InputError, UsageError
from edgevit.core.precisions import Precision
from edgevit.core.runner import RunOptions
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import Graph
from edgevit.flows._run_prepare import backends
from edgevit.quant.check import check_sites
from edgevit.runtimes.onnxruntime import RUNTIME
from edgevit.steps.resolve import resolve
from tests.converters import _forms as forms
from tests.converters import _small_models as models

SAFE = {"saturation_free": "true"}


def vpmaddubsw(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Sums along the last axes as the instruction makes them: pairs saturate at 16 bits, then int32."""
    products = activations.astype(np.int32) * weights.astype(np.int32)
    pairs = products[..., 0::2] + products[..., 1::2]
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(-1)


def exact(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    return (activations.astype(np.int32) * weights.astype(np.int32)).sum(-1)


def _worst(weights: NDArray[np.int8]) -> tuple[NDArray[np.uint8], ...]:
    """255 everywhere, and 255 where the sum grows or falls the most."""
    return tuple(
        np.where(chosen, 255, 0).astype(np.uint8)
        for chosen in (np.full(weights.shape, True), weights > 0, weights < 0)
    )


def test_weights_within_the_limit_are_exact_on_the_worst_inputs_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    first = random.integers(-127, 128, (500, 32))
    room = 128 - np.abs(first)
    second = np.clip(random.integers(-127, 128, first.shape), -room, room)
    safe = np.stack([first, second], -1).reshape(500, 64).astype(np.int8)
    assert weight_pairs.sums(safe).max() == 128
    assert all((vpmaddubsw(a, safe) == exact(a, safe)).all() for a in _worst(safe))
    edge = np.tile(np.array([64, 64, -127, -1], np.int8), 8)
    assert all((vpmaddubsw(a, edge) == exact(a, edge)).all() for a in _worst(edge))
    free = random.integers(-127, 128, (500, 64)).astype(np.int8)
    wrong = [(vpmaddubsw(a, free) != exact(a, free)).mean() for a in _worst(free)]
    assert max(wrong) > 0.9
    beyond = np.tile(np.array([64, 65], np.int8), 16)  # 129: one more than the limit
    assert (vpmaddubsw(_worst(beyond)[0], beyond) != exact(_worst(beyond)[0], beyond)).all()


def test_pairs_of_a_convolution_run_along_its_input_channels() -> None:
    weight = np.zeros((1, 2, 1, 2), np.int8)
    weight[0, :, 0, 0], weight[0, :, 0, 1] = (100, 20), (5, 90)
    assert weight_pairs.sums(weight).tolist() == [[120, 95]]
    assert weight_pairs.sums(np.array([[100, 20, 90]], np.int8)).tolist() == [[120, 90]]
    assert weight_pairs.sums(np.full((4, 1, 3, 3), 127, np.int8)).size == 0  # depthwise: no pairs


@pytest.fixture(scope="module")
def graph() -> Graph:
    return models.graph_of(forms.Layers())


@pytest.fixture(scope="module")
def prepared(graph: Graph) -> object:
    return TARGET.prepare(graph, models.spec_of(10), SAFE)


@pytest.mark.parametrize("precision", ["w8a8", "w8da8"])
def test_a_plan_for_safe_hosts_is_within_the_limit_and_another_is_refused(
    graph: Graph, prepared: object, precision: str, tmp_path: Path
) -> None:
    images = models.normalised(models.pixels(3))
    usual, safe = TARGET.capabilities(precision), TARGET.capabilities(precision, SAFE)
    assert usual is not None and safe is not None
    assert {kind.saturation_limit for kind in usual.kinds} == {None}
    plan = models.plan_of(graph, safe, images)
    limits = {kind.kind: kind.saturation_limit for kind in safe.kinds}
    assert limits == {"linear": 128, "conv": 128 if precision == "w8a8" else None}
    for site in plan.sites:
        if limits[site.kind] is not None:
            assert weight_pairs.sums(plan.tensors[f"{site.site}.weight"]).max(initial=0) <= 128
    TARGET.write(prepared, precision, plan, tmp_path / "m.onnx")
    with RUNTIME.open(tmp_path / "m.onnx", RunOptions(threads=1)) as runner:
        assert np.isfinite(runner.run(models.pixels(1))["logits"]).all()
    unsafe = models.plan_of(graph, usual, images)
    with pytest.raises(InputError, match="at most 128 keeps every processor exact"):
        check_sites(unsafe, graph, safe)


def test_weights_of_float_products_need_no_limit(graph: Graph, prepared: object, tmp_path: Path) -> None:
    """They go beyond it, and the file gives what PyTorch gives with them."""
    plan = forms.plan(graph, "onnx", "w8", {})
    largest = [weight_pairs.sums(plan.weight(site.site)).max(initial=0) for site in plan.sites]
    assert max(largest) > 128
    TARGET.write(prepared, "w8", plan, tmp_path / "m.onnx")
    with RUNTIME.open(tmp_path / "m.onnx", RunOptions(threads=1)) as runner:
        found = runner.run(models.pixels(2))["logits"]
    with torch.no_grad():
        wanted = forms.with_weights(plan, graph)(models.normalised(models.pixels(2)))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


def test_saturation_free_is_true_or_false() -> None:
    with pytest.raises(UsageError, match="saturation_free"):
        TARGET.capabilities("w8a8", {"saturation_free": "yes"})
    with pytest.raises(UsageError, match="saturation_free"):
        TARGET.check_options({"saturation_free": "1"})


def test_the_option_on_the_command_line_reaches_the_capabilities() -> None:
    recipe = Recipe(
        model="demo",
        to=("onnx",),
        precision=(Precision.W8A8,),
        calibrate="demo",
        option=(("onnx", "saturation_free", "true"),),
    )
    (placed,) = backends(resolve(recipe))
    assert {kind.saturation_limit for kind in placed.kinds} == {128}
