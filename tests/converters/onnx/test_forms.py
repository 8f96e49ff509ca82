"""w8, w8da8 and w4 in ONNX: each layer of an executed file against numpy, and the kernels that executed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from converters.onnx import TARGET
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import DynamicQuantization
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.program.sites import list_sites
from edgevit.quant.check import check_sites
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _forms as forms
from tests.converters import _small_models as models


@pytest.fixture(scope="module")
def graph() -> Graph:
    return models.graph_of(forms.Layers())


@pytest.fixture(scope="module")
def prepared(graph: Graph) -> object:
    return TARGET.prepare(graph, models.spec_of(10), {})


def _assert_layers(
    plan: QuantPlan,
    prepared: object,
    out: Path,
    least: float,
    at_run_time: Callable[[NDArray[np.float32]], NDArray[np.float64]] = forms.uint8_per_token,
) -> None:
    """Each layer, fed what the file fed it, gives what numpy does."""
    sites = TARGET.write(prepared, plan.precision, plan, out)
    taps = tuple(dict.fromkeys(name for site in sites for name in (site.input, site.output)))
    with RUNTIME.open(out, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(models.pixels(3))
    assert [site.site for site in sites] == [site.site for site in plan.sites]
    for where, site in zip(sites, plan.sites, strict=True):
        for image in range(3):
            wanted = forms.computed(plan, site, found[where.input][image], at_run_time)
            assert sqnr(wanted, found[where.output][image].reshape(wanted.shape)) > least, site.site


def test_w8_file_holds_the_corrected_biases_also_of_layers_without_one(
    graph: Graph, prepared: object, tmp_path: Path
) -> None:
    plan = forms.plan(graph, "onnx", "w8", {})
    _assert_layers(plan, prepared, tmp_path / "m.onnx", 110)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "m.onnx").graph.initializer}
    for site in plan.sites:
        assert np.array_equal(stored[f"{site.site}.bias"], plan.tensors[f"{site.site}.bias"])


def test_w8a8_linear_layers_take_an_integer_bias(graph: Graph, prepared: object, tmp_path: Path) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(3)))
    sites = tuple(s for s in plan.sites if s.kind == "linear")
    random = np.random.default_rng(0)
    biases = {
        f"{s.site}.bias": random.integers(-9000, 9000, len(plan.tensors[f"{s.site}.weight"]), np.int32)
        for s in sites
        if s.bias == "int32"
    }
    plan = replace(plan, sites=sites, tensors={**plan.tensors, **biases})
    where = TARGET.write(prepared, "w8a8", plan, tmp_path / "m.onnx")
    taps = tuple(dict.fromkeys(name for site in where for name in (site.input, site.output)))
    with RUNTIME.open(tmp_path / "m.onnx", RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(models.pixels(3))
    assert sorted(s.bias for s in sites) == ["int32"] * 3 + ["none"] * 2
    for place, site in zip(where, sites, strict=True):
        assert site.input is not None and site.weight is not None
        entered = (found[place.input].astype(np.float64) - site.input.zero_point[0]) * site.input.scale[0]
        steps = biases.get(f"{site.site}.bias", np.zeros(1))
        bias = steps * np.asarray(site.weight.scale, np.float64) * site.input.scale[0]
        wanted = entered @ forms.real_weight(plan, site).T + bias
        assert sqnr(wanted, found[place.output].reshape(wanted.shape)) > 110, site.site
    operators = dict(RUNTIME.integer_macs(tmp_path / "m.onnx").operators)
    assert operators["QGemm"] == 5 and operators.get("Add", 0) <= 1  # the residual: biases are in the kernels


def test_a_float_bias_of_an_integer_layer_is_refused(graph: Graph, prepared: object, tmp_path: Path) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(3)))
    sites = tuple(replace(s, bias="float32") if s.site == "one:linear" else s for s in plan.sites)
    with pytest.raises(InputError, match="one:linear: its bias is float32, int32 is needed"):
        check_sites(replace(plan, sites=sites), graph, plan.capabilities)


def test_w8da8_linear_layers_quantize_each_token_at_run_time(
    graph: Graph, prepared: object, tmp_path: Path
) -> None:
    plan = forms.plan(graph, "onnx", "w8da8", {"dynamic": forms.UINT8_PER_TOKEN})
    _assert_layers(plan, prepared, tmp_path / "m.onnx", 80)
    macs = RUNTIME.integer_macs(tmp_path / "m.onnx")
    linear = sum(site.macs for site in list_sites(graph) if site.kind == "linear")
    assert (macs.static, macs.dynamic) == (0, linear)
    operators = dict(macs.operators)
    # Two layers share one quantized input.
    assert operators["DynamicQuantizeMatMul"] == 3 and operators["MatMulIntegerToFloat"] == 2
    assert operators["DynamicQuantizeLinear"] == 1 and "MatMulInteger" not in operators


def test_a_site_may_have_one_scale_for_the_whole_tensor(
    graph: Graph, prepared: object, tmp_path: Path
) -> None:
    plan = forms.plan(
        graph, "onnx", "w8da8", {"dynamic": DynamicQuantization("uint8", "tensor", symmetric=False)}
    )
    _assert_layers(plan, prepared, tmp_path / "m.onnx", 80, forms.uint8_per_tensor)
    operators = dict(RUNTIME.integer_macs(tmp_path / "m.onnx").operators)
    assert operators["DynamicQuantizeMatMul"] == 3 and operators["MatMulIntegerToFloat"] == 2
    assert "Abs" not in operators and operators.get("Add", 0) <= 1  # the residual: biases are in the kernels


def test_a_token_of_zeros_stays_zero(graph: Graph, tmp_path: Path) -> None:
    plan = forms.plan(graph, "onnx", "w8da8", {"dynamic": forms.UINT8_PER_TOKEN}, new_bias=False)
    TARGET.write(TARGET.prepare(graph, models.spec_of(10), {}), "w8da8", plan, tmp_path / "m.onnx")
    black = np.round(255 * np.array(models.PREPROCESS.mean)).astype(np.uint8)  # almost 0 after normalisation
    with RUNTIME.open(tmp_path / "m.onnx", RunOptions(threads=1)) as runner:
        assert np.isfinite(runner.run(np.broadcast_to(black, (1, 32, 32, 3)))["logits"]).all()


@pytest.mark.parametrize(("block", "significant"), [(32, 11), (32, 24), (None, 24)])
def test_w4_linear_layers_compute_in_float_with_4_bits_stored(
    graph: Graph, prepared: object, block: int | None, significant: int, tmp_path: Path
) -> None:
    """11 significant bits fit float16; scales with more stay float32."""
    plan = forms.plan(graph, "onnx", "w4", {}, 7, block, significant)
    _assert_layers(plan, prepared, tmp_path / "m.onnx", 110)
    macs = RUNTIME.integer_macs(tmp_path / "m.onnx")
    assert (macs.static, macs.dynamic) == (0, 0) and "MatMulNBits" not in dict(macs.operators)
    stored = RUNTIME.contents(tmp_path / "m.onnx").weight_bytes
    weights = {s.site: plan.tensors[f"{s.site}.weight"].size for s in plan.sites}
    assert stored["int4"] == sum(n for site, n in weights.items() if site.endswith("linear")) // 2
    assert stored["int8"] == sum(n for site, n in weights.items() if site.endswith("conv"))
    scales = sum(len(s.weight.scale) for s in plan.sites if s.weight and s.weight.dtype == "int4")
    assert stored.get("float16", 0) == (2 * scales if significant == 11 else 0)
    size = (tmp_path / "m.onnx").stat().st_size
    assert sum(stored.values()) < size < sum(stored.values()) + 30_000  # names, nodes and metadata
    assert [o.domain for o in onnx.load(tmp_path / "m.onnx").opset_import] == [""]


def test_w4_needs_an_operator_set_with_int4(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="operator set 21"):
        TARGET.capabilities("w4", {"opset": "20"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dynamic": DynamicQuantization("int8", "token", True)}, "at run time is not what onnx"),
        ({"bias": "none"}, "its bias is none, float32 is needed"),
        ({"weight": "too large"}, "its weight reaches 14"),
        ({"weight": "blocks"}, "one for each 32 inputs"),
        ({"weight": "int4 at run time"}, "at run time is not what onnx"),
    ],
)
def test_forms_without_a_kernel_are_refused_by_site(
    graph: Graph, change: dict[str, object], message: str
) -> None:
    plan = forms.plan(graph, "onnx", "w4", {}, 7, 32, 11, new_bias=False)
    first = next(s for s in plan.sites if s.site == "one:linear")
    assert first.weight is not None
    if change.get("weight") == "too large":
        tensors = {**plan.tensors, "one:linear.weight": plan.tensors["one:linear.weight"] * np.int8(2)}
        plan, wrong = replace(plan, tensors=tensors), first
    elif change.get("weight") == "blocks":
        wrong = replace(first, weight=replace(first.weight, block=48))
    elif change.get("weight") == "int4 at run time":
        wrong = replace(first, dynamic=forms.UINT8_PER_TOKEN)
    else:
        eight = forms.plan(graph, "onnx", "w8da8", {"dynamic": forms.UINT8_PER_TOKEN}, new_bias=False)
        plan, wrong = eight, replace(next(s for s in eight.sites if s.site == first.site), **change)
    plan = replace(plan, sites=tuple(wrong if s.site == first.site else s for s in plan.sites))
    with pytest.raises(InputError, match=f"one:linear.*{message}"):
        check_sites(plan, graph, plan.capabilities)
