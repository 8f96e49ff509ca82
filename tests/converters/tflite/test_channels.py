"""int8 outputs with a scale per channel, between LiteRT's kernels that have one scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.tflite.target import TARGET, FloatConversion
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.quant.check import check_sites
from edgevit.quant.simulate import simulate
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(4)
CHANGED = {"proj:linear": 24, "q:linear": 24, "head:linear": 10, "pointwise:conv": 24}


@pytest.fixture(scope="module")
def plain(graph: Graph) -> QuantPlan:
    return models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))


@pytest.fixture(scope="module")
def per_channel(plain: QuantPlan) -> QuantPlan:
    """Some layers with output scales that differ from channel to channel by up to 8."""
    random = np.random.default_rng(0)

    def changed(site: SitePlan) -> SitePlan:
        if site.site not in CHANGED or site.output is None:
            return site
        count = CHANGED[site.site]
        scale = np.float32(site.output.scale[0] * 2 ** random.uniform(-2, 1, count))
        axis = 1 if site.kind == "conv" else -1
        return replace(site, output=QuantParams("int8", tuple(map(float, scale)), (0,) * count, axis))

    return replace(plain, sites=tuple(map(changed, plain.sites)))


def _steps(plan: QuantPlan, site: SitePlan, entered: np.ndarray) -> np.ndarray:
    """What the int8 output has to hold for int8 (rows, inputs)."""
    assert site.input is not None and site.output is not None and site.weight is not None
    weight = plan.tensors[f"{site.site}.weight"].reshape(len(site.weight.scale), -1).astype(np.int64)
    total = (entered.astype(np.int64) - site.input.zero_point[0]) @ weight.T
    if site.bias == "int32":
        total = total + plan.tensors[f"{site.site}.bias"]
    real = total * (site.input.scale[0] * np.asarray(site.weight.scale))
    return np.clip(np.rint(real / np.asarray(site.output.scale)), -128, 127)


def test_the_integers_are_the_plans_and_the_file_computes_what_the_plan_does(
    graph: Graph, prepared: FloatConversion, per_channel: QuantPlan, tmp_path: Path
) -> None:
    out = tmp_path / "m.tflite"
    sites = {site.site: site for site in TARGET.write(prepared, "w8a8", per_channel, out)}
    taps = tuple(dict.fromkeys(n for name in CHANGED for n in (sites[name].input, sites[name].output)))
    with RUNTIME.open(out, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(IMAGES)
    for site in per_channel.sites:
        if site.site in CHANGED:
            entered, left = found[sites[site.site].input], found[sites[site.site].output]
            assert entered.dtype == left.dtype == np.int8
            wanted = _steps(per_channel, site, entered.reshape(-1, entered.shape[-1]))
            off = np.abs(wanted - left.reshape(wanted.shape))
            assert off.max() <= 1 and (off > 0).mean() < 0.005, site.site
    wanted = simulate(graph, per_channel, models.normalised(IMAGES))[0].numpy()
    assert sqnr(wanted, found["logits"]) > 35
    assert RUNTIME.integer_macs(out).partitions == 1


def test_the_scales_go_into_the_multiplication_that_follows_or_into_one_of_their_own(
    prepared: FloatConversion, plain: QuantPlan, per_channel: QuantPlan, tmp_path: Path
) -> None:
    def products(plan: QuantPlan) -> int:
        TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
        return sum(kind == "MUL" for kind, _, _ in small.operators(tmp_path / "m.tflite"))

    before = products(plain)
    kinds = {site.site: site for site in per_channel.sites}

    def only(name: str) -> QuantPlan:
        return replace(plain, sites=tuple(kinds[name] if s.site == name else s for s in plain.sites))

    assert products(only("proj:linear")) == before  # a LayerScale follows
    assert products(only("head:linear")) == before + 1


def test_the_weights_are_not_rounded_again(
    prepared: FloatConversion, per_channel: QuantPlan, tmp_path: Path
) -> None:
    TARGET.write(prepared, "w8a8", per_channel, tmp_path / "m.tflite")
    site = next(s for s in per_channel.sites if s.site == "proj:linear")
    assert site.weight is not None and site.output is not None
    value, scale, _ = small.tensor(tmp_path / "m.tflite", "proj:linear/weight/int8")
    assert np.array_equal(value, per_channel.tensors["proj:linear.weight"])
    np.testing.assert_allclose(scale, np.array(site.weight.scale) / np.array(site.output.scale), rtol=1e-6)


def test_a_scale_per_channel_has_no_zero_point(
    graph: Graph, plain: QuantPlan, per_channel: QuantPlan
) -> None:
    (site,) = (s for s in per_channel.sites if s.site == "proj:linear")
    assert site.output is not None
    for zero in (0, 1):
        output = replace(site.output, zero_point=(zero,) * 24, axis=2)
        edited = tuple(replace(s, output=output) if s.site == site.site else s for s in plain.sites)
        if zero == 0:
            check_sites(replace(plain, sites=edited), graph, plain.capabilities)
            continue
        with pytest.raises(InputError, match="proj:linear.*needs the zero points 0"):
            check_sites(replace(plain, sites=edited), graph, plain.capabilities)


class _Layers(torch.nn.Module):
    """One linear layer right behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(32 * 3, 24), torch.nn.Linear(24, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.second(self.first(image.mean(3).flatten(1)))
        return found


def test_what_another_site_reads_is_quantized_once_more_under_a_name_of_its_own(tmp_path: Path) -> None:
    """The output with a scale per channel and the next layer's input are both integers of one float tensor."""
    graph = models.graph_of(_Layers().eval())
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))

    def changed(site: SitePlan) -> SitePlan:
        if site.site != "first:linear" or site.output is None:
            return site
        return replace(site, output=QuantParams("int8", (site.output.scale[0],) * 24, (0,) * 24, -1))

    plan = replace(plan, sites=tuple(map(changed, plan.sites)))
    first, second = TARGET.write(
        TARGET.prepare(graph, models.spec_of(10), {}), "w8a8", plan, tmp_path / "m.tflite"
    )
    assert first.output != second.input
    with RUNTIME.open(
        tmp_path / "m.tflite", RunOptions(threads=1, taps=(first.output, second.input))
    ) as runner:
        found = runner.run(IMAGES)
    assert found[first.output].dtype == found[second.input].dtype == np.int8
    wanted = simulate(graph, plan, models.normalised(IMAGES))[0].numpy()
    assert sqnr(wanted, found["logits"]) > 35
