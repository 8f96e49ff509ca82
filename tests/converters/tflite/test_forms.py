"""w8, w8da8 and w4 in TFLite: each layer of an executed file against numpy, and the kernels that executed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.tflite.target import TARGET, FloatConversion
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import DynamicQuantization
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.program.sites import list_sites
from edgevit.quant.check import check_sites
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _forms as forms
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small


@pytest.fixture(scope="module")
def graph() -> Graph:
    return models.graph_of(forms.Layers())


@pytest.fixture(scope="module")
def prepared(graph: Graph) -> FloatConversion:
    found = TARGET.prepare(graph, models.spec_of(10), {})
    assert isinstance(found, FloatConversion)
    return found


def _assert_layers(plan: QuantPlan, prepared: FloatConversion, out: Path, least: float) -> None:
    """Each layer, fed what the file fed it, gives what numpy does."""
    sites = TARGET.write(prepared, plan.precision, plan, out)
    taps = tuple(dict.fromkeys(name for site in sites for name in (site.input, site.output)))
    with RUNTIME.open(out, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(models.pixels(3))
    assert [site.site for site in sites] == [site.site for site in plan.sites]
    for where, site in zip(sites, plan.sites, strict=True):
        for image in range(3):
            entered, left = found[where.input][image], found[where.output][image]
            if site.kind == "conv":
                entered, left = entered.transpose(2, 0, 1), left.transpose(2, 0, 1)
            wanted = forms.computed(plan, site, entered, forms.int8_per_token)
            assert sqnr(wanted, left.reshape(wanted.shape)) > least, site.site


def _linear_macs(graph: Graph) -> int:
    return sum(site.macs for site in list_sites(graph) if site.kind == "linear")


def test_w8_file_holds_the_corrected_biases_also_of_layers_without_one(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = forms.plan(graph, "tflite", "w8", {})
    _assert_layers(plan, prepared, tmp_path / "m.tflite", 110)
    for site in plan.sites:
        value, _, _ = small.tensor(tmp_path / "m.tflite", f"{site.site}/bias/float32")
        assert np.array_equal(value, plan.tensors[f"{site.site}.bias"])


def test_w8da8_linear_layers_quantize_each_token_at_run_time(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = forms.plan(graph, "tflite", "w8da8", {"dynamic": forms.INT8_PER_TOKEN})
    _assert_layers(plan, prepared, tmp_path / "m.tflite", 80)
    macs = RUNTIME.integer_macs(tmp_path / "m.tflite")
    assert (macs.static, macs.dynamic, macs.partitions) == (0, _linear_macs(graph), 1)
    assert dict(macs.operators)["FULLY_CONNECTED dynamic int8 xnnpack"] == 5


@pytest.mark.parametrize("block", [32, None])
def test_w4_linear_layers_multiply_int4_by_tokens_quantized_at_run_time(
    graph: Graph, prepared: FloatConversion, block: int | None, tmp_path: Path
) -> None:
    four = {"dynamic": forms.INT8_PER_TOKEN}
    plan = forms.plan(graph, "tflite", "w4", four, 7, block, 8)
    _assert_layers(plan, prepared, tmp_path / "m.tflite", 80)
    macs = RUNTIME.integer_macs(tmp_path / "m.tflite")
    assert (macs.static, macs.dynamic, macs.partitions) == (0, _linear_macs(graph), 1)
    assert dict(macs.operators)["FULLY_CONNECTED dynamic int4 xnnpack"] == 5
    stored = RUNTIME.contents(tmp_path / "m.tflite").weight_bytes
    weights = {s.site: plan.tensors[f"{s.site}.weight"].size for s in plan.sites}
    assert stored["int4"] == sum(n for site, n in weights.items() if site.endswith("linear")) // 2
    assert stored["int8"] == sum(n for site, n in weights.items() if site.endswith("conv"))
    scales = sum(len(s.weight.scale) for s in plan.sites if s.weight and s.weight.dtype == "int4")
    assert stored.get("float16", 0) == (2 * scales if block else 0)


def test_a_layer_of_another_width_takes_int8_in_a_w4_file(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    four = forms.plan(graph, "tflite", "w4", {"dynamic": forms.INT8_PER_TOKEN}, 7, 32, 8)
    eight = forms.plan(graph, "tflite", "w4", {"dynamic": forms.INT8_PER_TOKEN})
    sites = tuple(e if e.site == "one:linear" else f for f, e in zip(four.sites, eight.sites, strict=True))
    tensors = {**four.tensors, "one:linear.weight": eight.tensors["one:linear.weight"]}
    _assert_layers(replace(four, sites=sites, tensors=tensors), prepared, tmp_path / "m.tflite", 80)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rounded at run time otherwise", "at run time is not what tflite"),
        ("scales", "which bfloat16 cannot hold"),
        ("blocks", "weight scales|its weight has"),
        ("float input", "at run time is not what tflite"),
        ("a convolution", "at run time is not what tflite"),
    ],
)
def test_forms_without_a_kernel_are_refused_by_site(graph: Graph, change: str, message: str) -> None:
    plan = forms.plan(graph, "tflite", "w4", {"dynamic": forms.INT8_PER_TOKEN}, 7, 32, 8, new_bias=False)
    name = "patch:conv" if change == "a convolution" else "one:linear"
    first = next(s for s in plan.sites if s.site == name)
    assert first.weight is not None
    if change == "scales":
        finer = forms.plan(
            graph, "tflite", "w4", {"dynamic": forms.INT8_PER_TOKEN}, 7, 32, 11, new_bias=False
        )
        plan, wrong = finer, next(s for s in finer.sites if s.site == name)
    elif change == "blocks":
        wrong = replace(first, weight=replace(first.weight, scale=first.weight.scale[1:]))
    elif change == "float input":
        wrong = replace(first, dynamic=None)
    elif change == "a convolution":
        wrong = replace(first, dynamic=forms.INT8_PER_TOKEN)
    else:
        wrong = replace(first, dynamic=DynamicQuantization("int8", "token", symmetric=True))
    plan = replace(plan, sites=tuple(wrong if s.site == name else s for s in plan.sites))
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        check_sites(plan, graph, plan.capabilities)
