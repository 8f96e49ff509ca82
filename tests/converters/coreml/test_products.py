"""The products of an attention in integers: quantize and dequantize around both operands of matmul."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.coreml import TARGET
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.runner import RunOptions, SiteTensors
from edgevit.program.sites import list_sites, total_macs
from edgevit.quant.check import check_sites
from edgevit.quant.plan import make_plan
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE
from tests._sqnr import sqnr
from tests.converters.coreml._models import Vit, exported, image_batch, normalised, operations, plan_for
from tests.edgevit.quant.test_plan import CHOICES, measured

Q, K = QuantParams("int8", (0.03125,), (5,)), QuantParams("int8", (0.0625,), (-7,))
WEIGHTS, V = QuantParams("uint8", (0.00390625,), (0,)), QuantParams("int8", (0.046875,), (2,))


def planned() -> QuantPlan:
    """A plan for w8a8 with both products of both blocks in integers."""
    plan = plan_for(exported(Vit)[1], "w8a8")
    products = [
        SitePlan(s.name, s.kind, *((Q, None, None) if s.kind == "qk" else (WEIGHTS, None, None)), "none",
                 rhs=K if s.kind == "qk" else V)
        for s in list_sites(exported(Vit)[1])
        if s.kind in ("qk", "av")
    ]  # fmt: skip
    return replace(plan, sites=(*plan.sites, *products))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[SiteTensors, ...]]:
    _, graph, spec = exported(Vit)
    path = tmp_path_factory.mktemp("products") / "m.mlpackage"
    return path, TARGET.write(TARGET.prepare(graph, spec, {}), "w8a8", planned(), path)


def test_both_operands_come_from_integers_of_their_own_grid(
    file: tuple[Path, tuple[SiteTensors, ...]],
) -> None:
    path, sites = file
    made = {o.outputs[0].name: o for o in operations(path) if o.outputs}
    products = [s for s in sites if s.rhs]
    assert len(products) == 4
    for site in products:
        matmul = made[site.output]
        assert matmul.op_type == "matmul"
        all_params = (Q, K) if site.site.endswith(":qk") else (WEIGHTS, V)
        for name, params in zip((site.input, site.rhs), all_params, strict=True):
            quantize = made[name]
            assert quantize.op_type == "quantize" and quantize.output_dtype.val == params.dtype
            assert float(quantize.scale.val) == params.scale[0]
            zero = quantize.zero_point
            assert (0 if zero is None else int(zero.val)) == params.zero_point[0]
        assert matmul.x.op.input.name == site.input and matmul.y.op.input.name == site.rhs


def test_each_product_is_that_of_its_integers(file: tuple[Path, tuple[SiteTensors, ...]]) -> None:
    """By numpy: scale times scale times the product of integers less their zero points."""
    path, sites = file
    products = [s for s in sites if s.rhs]
    taps = tuple(n for s in products for n in (s.input, s.rhs, s.output))
    with REFERENCE.open(path, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(image_batch())
    simulator = SiteSimulator(exported(Vit)[1], planned())
    for site in products:
        first, second = (Q, K) if site.site.endswith(":qk") else (WEIGHTS, V)
        a = (found[site.input].astype(np.float64) - first.zero_point[0]) * first.scale[0]
        b = (found[site.rhs].astype(np.float64) - second.zero_point[0]) * second.scale[0]
        wanted = a.reshape(-1, *a.shape[-3:]) @ b.reshape(-1, *b.shape[-3:])
        got = found[site.output].astype(np.float64).reshape(wanted.shape)
        assert sqnr(torch.from_numpy(wanted), got) >= 60, site.site
        one = simulator.run(
            site.site,
            torch.from_numpy(a[:1]).float().reshape(simulator.shapes(site.site)[0]),
            torch.from_numpy(b[:1]).float().reshape(simulator.second_shape(site.site)),
        )
        assert sqnr(one.reshape(1, -1), got[:1].reshape(1, -1)) >= 60, site.site


def test_the_file_computes_what_the_plan_says_and_counts_its_products(
    file: tuple[Path, tuple[SiteTensors, ...]],
) -> None:
    _, graph, spec = exported(Vit)
    expected = simulate(graph, planned(), normalised(image_batch(), spec))[0]
    with REFERENCE.open(file[0], RunOptions(threads=1)) as runner:
        found = runner.run(image_batch())["logits"]
    assert sqnr(expected, found) >= 30
    macs = REFERENCE.integer_macs(file[0])
    kinds = ("linear", "conv", "qk", "av")
    assert macs.static == sum(s.macs for s in list_sites(graph) if s.kind in kinds)
    assert dict(macs.operators)["matmul"] == 4


def test_attention_in_integers_is_asked_for_by_an_option() -> None:
    kinds = {}
    for option in (None, "float", "integer"):
        capabilities = TARGET.capabilities("w8a8", {} if option is None else {"attention": option})
        assert capabilities is not None
        kinds[option] = {kind.kind for kind in capabilities.kinds}
    assert kinds[None] == kinds["float"] == {"linear", "conv"}
    assert kinds["integer"] == {"linear", "conv", "qk", "av"}
    with pytest.raises(UsageError, match=r"coreml.attention must be float or integer, not 'int8'"):
        TARGET.capabilities("w8a8", {"attention": "int8"})
    with pytest.raises(UsageError, match="coreml.deployment is 'iOS7'"):
        TARGET.capabilities("w8a8", {"deployment": "iOS7"})
    with pytest.raises(UnsupportedError, match="iOS16 can do fp32, fp16, w8, not w8a8"):
        TARGET.capabilities("w8a8", {"deployment": "iOS16"})


def test_a_plan_with_attention_in_integers_is_made_and_executed(tmp_path: Path) -> None:
    _, graph, spec = exported(Vit)
    capabilities = TARGET.capabilities("w8a8", {"attention": "integer", "float_macs": "0"})
    assert capabilities is not None
    images = normalised(image_batch(), spec)
    plan = make_plan(graph, measured(graph, images, capabilities), images, capabilities, CHOICES)
    assert [s.kind for s in plan.sites].count("qk") == [s.kind for s in plan.sites].count("av") == 2
    path = tmp_path / "m.mlpackage"
    TARGET.write(TARGET.prepare(graph, spec, {}), "w8a8", plan, path)
    with REFERENCE.open(path, RunOptions(threads=1)) as runner:
        assert sqnr(simulate(graph, plan, images)[0], runner.run(image_batch())["logits"]) >= 30
    assert REFERENCE.integer_macs(path).static == total_macs(graph)


@pytest.mark.parametrize("change", [{"rhs": None}, {"input": None}])
def test_a_product_with_one_quantized_operand_is_refused(change: dict[str, Any]) -> None:
    _, graph, spec = exported(Vit)
    capabilities = TARGET.capabilities("w8a8", {"attention": "integer"})
    assert capabilities is not None
    images = normalised(image_batch(), spec)
    plan = make_plan(graph, measured(graph, images, capabilities), images, capabilities, CHOICES)
    name = next(s.site for s in plan.sites if s.kind == "av")
    edited = tuple(replace(s, **change) if s.site == name else s for s in plan.sites)
    with pytest.raises(InputError, match=f"{name}: its (rhs|input) is float"):
        check_sites(replace(plan, sites=edited), graph, capabilities)
