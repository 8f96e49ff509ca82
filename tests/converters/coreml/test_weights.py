"""Packed weights and corrected biases in Core ML packages: what is stored, and what it computes."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from converters.coreml import TARGET
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import Palette, QuantParams
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, ModelSpec
from edgevit.program.sites import list_sites
from edgevit.quant.simulate import SiteSimulator
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE
from tests._sqnr import sqnr
from tests.converters.coreml._models import (
    CLASSES,
    execute,
    image_batch,
    make,
    normalised,
    operations,
    read,
)

_FOLDER = tempfile.TemporaryDirectory()
INT8 = ("stem:conv", "deep:conv", "head:linear")


class Net(nn.Module):
    """A stem, a depthwise and a pointwise convolution, two linear layers without and with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 32, 4, 4), nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.mix, self.fc = nn.Conv2d(32, 64, 1, bias=False), nn.Linear(64, 40, bias=False)
        self.head = nn.Linear(40, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mix(nn.functional.gelu(self.deep(self.stem(x))))
        return self.head(nn.functional.gelu(self.fc(x.mean((2, 3)))))


@cache
def net() -> tuple[Net, Graph, ModelSpec]:
    torch.manual_seed(0)
    module = Net()
    return (module, *make(module))


def half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def planned(precision: str) -> QuantPlan:
    """Linear layers in int4 blocks, or everything but `INT8` in palettes of random values."""
    graph, sites, tensors = net()[1], [], {}
    generator = np.random.default_rng(0)
    for site in list_sites(graph):
        if site.weight is None:
            continue
        weight = graph.program.state_dict[site.weight].detach().numpy()
        params, palette, rows = None, None, weight.reshape(len(weight), -1)
        if precision.startswith("lut") and site.name not in INT8:
            palette = Palette(int(precision[3:]), 16)
            parts = [rows[i : i + 16] for i in range(0, len(rows), 16)]
            lut = half(np.stack([np.quantile(p, np.linspace(0, 1, 2**palette.bits)) for p in parts]))
            nearest = [np.abs(p[..., None] - one).argmin(-1) for p, one in zip(parts, lut, strict=True)]
            tensors[f"{site.name}.lut"] = lut.astype(np.float32)
            tensors[f"{site.name}.weight"] = np.concatenate(nearest).reshape(weight.shape).astype(np.uint8)
        else:
            fine = precision != "w4" or site.name in INT8 or site.kind == "conv"
            parts = rows.reshape(len(rows), 1 if fine else -1, rows.shape[1] if fine else 32)
            scale = half(np.abs(parts).max(-1) * 1.01 / (127 if fine else 7))
            steps = np.round(parts / scale[..., None]).reshape(weight.shape)
            tensors[f"{site.name}.weight"] = steps.astype(np.int8)
            numbers = tuple(map(float, scale.ravel()))
            zeros = (0,) * len(numbers)
            params = QuantParams("int8" if fine else "int4", numbers, zeros, 0, None if fine else 32)
        if precision != "w4":
            tensors[f"{site.name}.bias"] = generator.normal(size=len(weight)).astype(np.float32)
        bias = "float32" if site.bias or precision != "w4" else "none"
        sites.append(SitePlan(site.name, site.kind, None, params, None, bias, palette))
    capabilities = TARGET.capabilities(precision)
    assert capabilities is not None
    return QuantPlan("coreml", precision, "float16", "", tuple(sites), (), tensors, capabilities=capabilities)


def expected(plan: QuantPlan) -> torch.Tensor:
    """PyTorch's own model with the weights and biases that the plan stands for, element by element."""
    module = copy.deepcopy(net()[0])
    for site in plan.sites:
        layer = module.get_submodule(site.site.partition(":")[0])
        stored = plan.tensors[f"{site.site}.weight"]
        weight = np.empty(stored.shape, np.float32)
        for index in np.ndindex(*stored.shape):
            if site.palette is not None:
                table = plan.tensors[f"{site.site}.lut"][index[0] // site.palette.group]
                weight[index] = table[stored[index]]
            else:
                assert site.weight is not None
                blocks = stored.shape[1] // site.weight.block if site.weight.block else 1
                number = index[0] * blocks + (index[1] // site.weight.block if site.weight.block else 0)
                weight[index] = stored[index] * site.weight.scale[number]
        layer.weight = nn.Parameter(torch.from_numpy(weight))
        if f"{site.site}.bias" in plan.tensors:
            layer.bias = nn.Parameter(torch.from_numpy(plan.tensors[f"{site.site}.bias"]))
    with torch.no_grad():
        found: torch.Tensor = module(normalised(image_batch(), net()[2]))
    return found


def written(plan: QuantPlan, path: Path, **options: Any) -> Path:
    _, graph, spec = net()
    keep = options.pop("keep", frozenset())
    TARGET.write(TARGET.prepare(graph, spec, options), plan.precision, plan, path / "m.mlpackage", keep)
    return path / "m.mlpackage"


@cache
def packed_file(precision: str) -> Path:
    """The package of one precision, made once for all tests."""
    folder = Path(_FOLDER.name) / precision
    folder.mkdir()
    return written(planned(precision), folder)


@pytest.mark.parametrize("precision", ["w8", "w4", "lut4", "lut6"])
def test_packed_files_compute_what_the_plan_says(precision: str) -> None:
    plan = planned(precision)
    path = packed_file(precision)
    found = sqnr(expected(plan), execute(path, image_batch())["logits"])
    assert found >= 50
    version, system = (8, "iOS17") if precision == "w8" else (9, "iOS18")
    assert read(path)[0].specificationVersion == version
    assert REFERENCE.contents(path).metadata["edgevit.deployment"] == system


@pytest.mark.parametrize(
    ("precision", "packed"),
    [
        # numbers per type: mix 2048 and fc 2560 packed; stem 1536, deep 288 and head 200 in int8
        ("w4", {"int4": 2560 // 2, "int8": 2048 + 1536 + 288 + 200}),
        ("lut4", {"uint4": (2048 + 2560) // 2, "int8": 1536 + 288 + 200}),
        ("lut6", {"uint6": (2048 + 2560) * 6 // 8, "int8": 1536 + 288 + 200}),
    ],
)
def test_packed_weights_take_their_bits_in_the_file(precision: str, packed: dict[str, int]) -> None:
    path = packed_file(precision)
    found = REFERENCE.contents(path).weight_bytes
    assert {name: found[name] for name in packed} == packed
    assert set(found) == {*packed, "float16", "float32"}
    blob = (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").stat().st_size
    constants = sum(o.op_type == "const" for o in operations(path))
    # each blob begins at a multiple of 64 bytes, behind 64 bytes that describe it
    assert sum(packed.values()) < blob <= sum(found.values()) + 128 * constants


def test_palettes_of_a_width_that_16_does_not_divide_are_repeated() -> None:
    plan, path = planned("lut4"), packed_file("lut4")
    (lut,) = (
        o.lut.val for o in operations(path) if o.op_type == "constexpr_lut_to_dense" and o.indices.rank == 2
    )
    lists = plan.tensors["fc:linear.lut"]
    assert lut.dtype == np.float16 and lut.shape == (5, 1, 16, 1), "40 channels: groups of 8"
    np.testing.assert_array_equal(lut[:, 0, :, 0], lists[[0, 0, 1, 1, 2]])


@pytest.mark.parametrize("precision", ["w8", "w8a8"])
def test_a_corrected_bias_stands_in_the_file_also_where_the_layer_had_none(
    tmp_path: Path, precision: str
) -> None:
    plan = replace(planned("w8"), precision=precision)
    if precision == "w8a8":
        entry = QuantParams("int8", (0.0625,), (-3,))
        plan = replace(plan, sites=tuple(replace(s, input=entry) for s in plan.sites))
    _, graph, spec = net()
    path = tmp_path / "m.mlpackage"
    sites = TARGET.write(TARGET.prepare(graph, spec, {}), precision, plan, path)
    found = {o.outputs[0].name: o for o in operations(path) if o.outputs}
    assert len(sites) == 5
    for site in sites:
        wanted = plan.tensors[f"{site.site}.bias"]
        np.testing.assert_array_equal(found[site.output].bias.val, wanted.astype(np.float16))


@pytest.mark.parametrize("precision", ["w4", "lut4", "lut6"])
def test_packed_precisions_refuse_an_older_system_that_was_named(tmp_path: Path, precision: str) -> None:
    with pytest.raises(
        UnsupportedError, match=f"iOS17 can do fp32, fp16, w8, w8a8, not {precision}"
    ) as caught:
        written(planned(precision), tmp_path, deployment="iOS17")
    assert "coreml.deployment=iOS18" in caught.value.hint and caught.value.exit_code == 3


def scaled(plan: QuantPlan, site: str, factor: float) -> QuantPlan:
    """The plan with one site's scales multiplied."""

    def changed(s: SitePlan) -> SitePlan:
        if s.site != site or s.weight is None:
            return s
        return replace(s, weight=replace(s.weight, scale=tuple(factor * x for x in s.weight.scale)))

    return replace(plan, sites=tuple(map(changed, plan.sites)))


@pytest.mark.parametrize(
    ("factor", "what"),
    [(1e-5, "weight scales"), (1e6, "weights"), (1e9, "weight scales"), (0.0, "all but zero")],
)
def test_weights_that_float16_does_not_hold_are_refused_by_their_site(
    tmp_path: Path, factor: float, what: str
) -> None:
    with pytest.raises(UnsupportedError, match=f"fc:linear: .*{what}") as caught:
        written(scaled(planned("w8"), "fc:linear", factor), tmp_path)
    assert caught.value.hint and not (tmp_path / "m.mlpackage").exists()


@pytest.mark.parametrize("precision", ["w8", "lut4"])
def test_a_site_kept_in_float32_computes_with_weights_that_are_not_rounded(
    tmp_path: Path, precision: str
) -> None:
    plan, kept = planned(precision), frozenset({"mix:conv", "fc:linear"})
    plan = replace(plan, tensors={k: v for k, v in plan.tensors.items() if not k.endswith(".bias")})
    _, graph, spec = net()
    path = tmp_path / "m.mlpackage"
    sites = TARGET.write(TARGET.prepare(graph, spec, {}), precision, plan, path, kept)
    fc = next(s for s in sites if s.site == "fc:linear")
    with REFERENCE.open(path, RunOptions(threads=1, taps=(fc.input, fc.output))) as runner:
        found = runner.run(image_batch())
    assert found[fc.output].dtype == np.float32
    wanted = SiteSimulator(graph, plan, kept).run(fc.site, torch.from_numpy(found[fc.input]))
    assert sqnr(wanted, found[fc.output]) >= 100


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_site_kept_in_float32_takes_scales_of_any_size(tmp_path: Path, factor: float) -> None:
    module, _, _ = net()
    big = copy.deepcopy(module)
    with torch.no_grad():
        big.fc.weight.mul_(factor)
    graph, spec = make_as_is(big)
    plan = scaled(planned("w8"), "fc:linear", factor)
    kept = frozenset({"fc:linear"})
    path = tmp_path / "m.mlpackage"
    TARGET.write(TARGET.prepare(graph, spec, {}), "w8", plan, path, kept)
    stored = {o.outputs[0].name: o for o in operations(path) if o.outputs}
    scales = [o.scale.val for o in stored.values() if o.op_type == "constexpr_affine_dequantize"]
    (wide,) = (s for s in scales if s.dtype == np.float32)
    wanted = next(s.weight.scale for s in plan.sites if s.site == "fc:linear" and s.weight)
    np.testing.assert_array_equal(wide, np.float32(wanted))


def make_as_is(module: nn.Module) -> tuple[Graph, ModelSpec]:
    """Export with the weights that the module has."""
    from edgevit.core.types import TorchModel
    from edgevit.graph.export import export_model
    from edgevit.registries import REWRITES

    spec = net()[2]
    return export_model(TorchModel(spec, module.eval()), {n: REWRITES.get(n) for n in REWRITES.names()}), spec


def test_a_bias_beyond_float16_is_refused_by_its_site(tmp_path: Path) -> None:
    plan = planned("w8")
    wide = np.full(40, 7e4, np.float32)
    with pytest.raises(UnsupportedError, match="fc:linear: biases"):
        written(replace(plan, tensors={**plan.tensors, "fc:linear.bias": wide}), tmp_path)


def test_a_scale_of_activations_below_float16_is_refused_by_its_site(tmp_path: Path) -> None:
    plan = replace(planned("w8"), precision="w8a8")
    sites = tuple(
        replace(s, input=QuantParams("int8", (1e-9 if s.site == "fc:linear" else 0.0625,), (0,)))
        for s in plan.sites
    )
    with pytest.raises(UnsupportedError, match="fc:linear: scales of activations"):
        written(replace(plan, sites=sites), tmp_path)


def test_weights_too_small_for_the_least_scale_are_refused_by_their_site(tmp_path: Path) -> None:
    small = copy.deepcopy(net()[0])
    with torch.no_grad():
        small.fc.weight.mul_(1e-5)
    graph, spec = make_as_is(small)
    plan, least = planned("w8"), float(np.finfo(np.float16).smallest_normal)
    sites = tuple(
        replace(s, weight=replace(s.weight, scale=(least,) * 40)) if s.site == "fc:linear" and s.weight else s
        for s in plan.sites
    )
    zeros = np.zeros((40, 64), np.int8)
    plan = replace(plan, sites=sites, tensors={**plan.tensors, "fc:linear.weight": zeros})
    with pytest.raises(UnsupportedError, match="fc:linear: .* all but zero"):
        TARGET.write(TARGET.prepare(graph, spec, {}), "w8", plan, tmp_path / "m.mlpackage")
