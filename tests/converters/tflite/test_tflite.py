"""The TFLite target against PyTorch and the simulated plan, executed by LiteRT."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.tflite import flatbuffer, lower
from converters.tflite import sites as tflite_sites
from converters.tflite.target import TARGET, FloatConversion
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, Preprocess
from edgevit.program.run import run
from edgevit.program.sites import WEIGHTED, list_sites, site_of, total_macs
from edgevit.quant.check import check_plan, check_sites
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _photographs as photos
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(4)


@pytest.fixture(scope="module")
def lowered(graph: Graph, prepared: FloatConversion) -> tuple[bytes, tuple[lower.Marked, ...]]:
    """A second conversion of the same graph."""
    return lower.lower(graph, reverse_channels=False)


def _logits(path: Path, images: np.ndarray = IMAGES) -> np.ndarray:
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        return runner.run(images)["logits"]


def test_fp32_equals_pytorch_from_nhwc_pixels(
    prepared: FloatConversion, module: torch.nn.Module, tmp_path: Path
) -> None:
    TARGET.write(prepared, "fp32", None, tmp_path / "m.tflite")
    wanted = module(models.normalised(IMAGES)).detach()
    assert sqnr(wanted, _logits(tmp_path / "m.tflite")) > 100
    contents = RUNTIME.contents(tmp_path / "m.tflite")
    assert [(t.name, t.shape, t.dtype) for t in contents.inputs] == [("image", (1, 32, 32, 3), "float32")]
    assert [(t.name, t.shape, t.dtype) for t in contents.outputs] == [("logits", (1, 10), "float32")]


def test_fp16_halves_the_constants_and_stays_close(
    prepared: FloatConversion, module: torch.nn.Module, tmp_path: Path
) -> None:
    TARGET.write(prepared, "fp16", None, tmp_path / "m.tflite")
    wanted = module(models.normalised(IMAGES)).detach()
    assert sqnr(wanted, _logits(tmp_path / "m.tflite")) > 50
    stored = RUNTIME.contents(tmp_path / "m.tflite").weight_bytes
    assert stored["float16"] > 20 * stored.get("float32", 0)


def test_a_constant_too_large_for_float16_stays_float32(prepared: FloatConversion) -> None:
    from converters.tflite.quantize import to_half

    model = flatbuffer.duplicate(prepared.model)
    part = flatbuffer.graph(model)
    weight = int(part.operators[prepared.places[0].operator].inputs[1])
    data = np.array(flatbuffer.constant(model, weight))
    data.flat[0] = 1e6
    model.buffers[part.tensors[weight].buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    to_half(model)
    assert np.array_equal(flatbuffer.constant(model, weight), data)


def test_every_site_of_the_float_file_holds_pytorchs_tensors(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    """The neighbours (LayerNorm's affine part, the scale behind proj, ReLU) are not folded into a site."""
    sites = TARGET.write(prepared, "fp32", None, tmp_path / "m.tflite")
    described = {s.name: s for s in list_sites(graph)}
    assert [s.site for s in sites] == [n for n, s in described.items() if s.kind in WEIGHTED]
    _, seen = run(graph, models.normalised(IMAGES), observe=lambda n, v: {site_of(n): v})
    taps = tuple(name for site in sites for name in (site.input, site.output))
    with RUNTIME.open(tmp_path / "m.tflite", RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(IMAGES)
    for site in sites:
        for name, wanted in ((site.input, seen[described[site.site].source]), (site.output, seen[site.site])):
            assert sqnr(np.sort(wanted.numpy().ravel()), np.sort(found[name].ravel())) > 90, site


def test_w8_computes_what_the_simulation_does_without_integer_kernels(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8"), models.normalised(IMAGES))
    TARGET.write(prepared, "w8", plan, tmp_path / "m.tflite")
    wanted = simulate(graph, plan, models.normalised(IMAGES))[0]
    assert sqnr(wanted, _logits(tmp_path / "m.tflite")) > 100
    macs = RUNTIME.integer_macs(tmp_path / "m.tflite")
    assert (macs.static, macs.dynamic) == (0, 0)
    assert RUNTIME.contents(tmp_path / "m.tflite").weight_bytes["int8"] == sum(
        v.size for k, v in plan.tensors.items() if k.endswith(".weight")
    )


def test_w8a8_sites_are_integer_and_within_one_step_of_the_plan(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))
    sites = TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
    taps = tuple(name for site in sites for name in (site.input, site.output))
    with RUNTIME.open(tmp_path / "m.tflite", RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(IMAGES)
    simulator = SiteSimulator(graph, plan)
    assert [s.site for s in sites] == [s.site for s in plan.sites]
    for site, planned in zip(sites, plan.sites, strict=True):
        entered, left = found[site.input], found[site.output]
        assert entered.dtype == left.dtype == np.int8
        before, after = simulator.shapes(site.site)
        assert planned.input is not None
        real = planned.input.scale[0] * (torch.from_numpy(entered).float() - planned.input.zero_point[0])
        for index in range(len(IMAGES)):
            value = real[index].permute(2, 0, 1) if len(before) == 4 else real[index]
            wanted = simulator.run(site.site, value.reshape(before)).numpy()
            wanted = wanted[0].transpose(1, 2, 0) if len(after) == 4 else wanted
            off = np.abs(wanted.reshape(left[index].shape) - left[index])
            assert off.max() <= 1 and np.mean(off > 0) <= 0.005, site
    macs = RUNTIME.integer_macs(tmp_path / "m.tflite")
    weighted = sum(s.macs for s in list_sites(graph) if s.kind in WEIGHTED)
    assert macs.static == weighted and macs.partitions == 1
    assert macs.static < total_macs(graph)  # attention's products stay float


def test_a_spared_linear_layer_runs_beside_static_ones(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    """Every other linear layer of the w8a8 plan as w8da8 has it: one partition, counted apart."""
    static, dynamic = (
        models.plan_of(graph, TARGET.capabilities(p), models.normalised(IMAGES)) for p in ("w8a8", "w8da8")
    )
    linear = [s.site for s in static.sites if s.kind == "linear"]
    chosen = set(linear[::2])
    instead = {s.site: s for s in dynamic.sites if s.site in chosen}
    tensors = {k: v for k, v in static.tensors.items() if k.rpartition(".")[0] not in chosen}
    tensors |= {k: v for k, v in dynamic.tensors.items() if k.rpartition(".")[0] in chosen}
    plan = replace(static, sites=tuple(instead.get(s.site, s) for s in static.sites), tensors=tensors)
    TARGET.write(
        prepared, "w8a8", check_plan(plan, graph, TARGET.capabilities("w8a8")), tmp_path / "m.tflite"
    )
    wanted = simulate(graph, plan, models.normalised(IMAGES))[0]
    assert sqnr(wanted, _logits(tmp_path / "m.tflite")) > 30
    macs, sites = RUNTIME.integer_macs(tmp_path / "m.tflite"), list_sites(graph)
    assert macs.dynamic == sum(s.macs for s in sites if s.name in chosen) > 0
    assert macs.static == sum(s.macs for s in sites if s.kind in WEIGHTED) - macs.dynamic > 0
    assert macs.partitions == 1


def test_w8a8_holds_the_plans_own_numbers(graph: Graph, prepared: FloatConversion, tmp_path: Path) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))
    TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
    layouts = {
        "stem:conv": ((0, 2, 3, 1), 0),
        "depthwise:conv": ((1, 2, 3, 0), 3),
        "head:linear": ((0, 1), 0),
    }
    for site in plan.sites:
        if site.site not in layouts:
            continue
        layout, axis = layouts[site.site]
        assert site.weight is not None and site.input is not None
        value, scale, dimension = small.tensor(tmp_path / "m.tflite", f"{site.site}/weight/int8")
        assert np.array_equal(value, plan.tensors[f"{site.site}.weight"].transpose(layout))
        assert np.array_equal(scale, np.float32(site.weight.scale)) and dimension == axis
        value, scale, _ = small.tensor(tmp_path / "m.tflite", f"{site.site}/bias/int32")
        assert np.array_equal(value, plan.tensors[f"{site.site}.bias"])
        np.testing.assert_allclose(scale, site.input.scale[0] * np.array(site.weight.scale), rtol=1e-6)


def test_a_tensor_that_several_sites_read_is_quantized_once(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))
    TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
    found = small.operators(tmp_path / "m.tflite")
    quantized = [outputs for kind, _, outputs in found if kind == "QUANTIZE"]
    # Eight sites; q, k and v read one tensor.
    assert len(plan.sites) == 8 and len(quantized) == 6
    integer = [(k, i, o) for k, i, o in found if k in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")]
    assert all(i[:2] == ["INT8", "INT8"] and o == ["INT8"] for _, i, o in integer) and len(integer) == 8


def test_equal_input_gives_equal_bytes(
    graph: Graph,
    prepared: FloatConversion,
    lowered: tuple[bytes, tuple[lower.Marked, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lower, "lower", lambda *_: lowered)
    again = TARGET.prepare(graph, models.spec_of(10), {})
    for precision in TARGET.precisions:
        planned = TARGET.capabilities(precision) is not None
        plan = (
            models.plan_of(graph, TARGET.capabilities(precision), models.normalised(IMAGES))
            if planned
            else None
        )
        TARGET.write(prepared, precision, plan, tmp_path / "one.tflite")
        TARGET.write(again, precision, plan, tmp_path / "two.tflite")
        assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_other_tools_read_normalisation_and_labels(prepared: FloatConversion, tmp_path: Path) -> None:
    TARGET.write(prepared, "fp32", None, tmp_path / "m.tflite")
    found = small.ModelMetadata(tmp_path / "m.tflite")
    assert (found.name, found.author, found.license) == ("small", "A. Author", "MIT")
    assert (found.input, found.output, found.unit_type) == ("image", "logits", 1)
    np.testing.assert_allclose(found.mean, [102.0, 127.5, 153.0], rtol=1e-6)
    np.testing.assert_allclose(found.std, [51.0, 63.75, 76.5], rtol=1e-6)
    assert (found.file, found.file_type) == ("labels.txt", 2)
    assert found.labels == [f"class {index}" for index in range(10)]
    contents = RUNTIME.contents(tmp_path / "m.tflite")
    assert contents.preprocess == models.PREPROCESS
    assert contents.labels == tuple(found.labels)
    assert contents.metadata["edgevit.precision"] == "fp32"


def test_from_a_jpeg_with_nothing_but_the_file(tmp_path: Path, photographs: tuple[Path, ...]) -> None:
    """The file's own preprocessing gives PyTorch's logits; swapped colours or a wrong mean in it do not."""
    module, graph, spec = photos.made()
    right = tmp_path / "right.tflite"
    TARGET.write(TARGET.prepare(graph, spec, {}), "fp32", None, right)
    photos.assert_only_the_right_file_agrees(
        module, right, RUNTIME, photos.swap_colors_in_json, photos.change_mean_in_json, photographs
    )


def test_a_model_for_bgr_takes_rgb_like_every_other_file(tmp_path: Path) -> None:
    given = Preprocess(32, 32, (32, 32), color="bgr", mean=(0.2, 0.4, 0.6), std=(0.2, 0.25, 0.3))
    spec = replace(models.spec_of(10), preprocess=given)
    module = small.Hybrid()
    found = TARGET.prepare(models.graph_of(module), spec, {})
    TARGET.write(found, "fp32", None, tmp_path / "m.tflite")
    own = RUNTIME.contents(tmp_path / "m.tflite").preprocess
    assert own is not None and own.color == "rgb" and own.mean == (0.6, 0.4, 0.2)
    wanted = module(models.normalised(np.ascontiguousarray(IMAGES[..., ::-1]), given)).detach()
    assert sqnr(wanted, _logits(tmp_path / "m.tflite")) > 80


def test_a_plan_for_another_graph_names_the_site(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))
    wrong = replace(plan, sites=(*plan.sites, replace(plan.sites[0], site="nowhere:linear")))
    with pytest.raises(UnsupportedError, match="nowhere:linear"):
        TARGET.write(prepared, "w8a8", wrong, tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


@pytest.mark.parametrize("change", ["float output", "uint8 input", "weight of another shape"])
def test_numbers_without_a_kernel_are_refused_by_site(
    graph: Graph, prepared: FloatConversion, tmp_path: Path, change: str
) -> None:
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(IMAGES))
    first = plan.sites[0]
    assert first.input is not None
    if change == "float output":
        wrong = replace(plan, sites=(replace(first, output=None), *plan.sites[1:]))
    elif change == "uint8 input":
        wrong = replace(
            plan, sites=(replace(first, input=replace(first.input, dtype="uint8")), *plan.sites[1:])
        )
    else:
        wrong = replace(
            plan, tensors={**plan.tensors, f"{first.site}.weight": np.zeros((2, 3, 3, 3), np.int8)}
        )
    with pytest.raises(InputError, match=first.site):
        check_sites(wrong, graph, plan.capabilities)


def test_a_site_whose_weights_are_not_the_models_is_refused(
    lowered: tuple[bytes, tuple[lower.Marked, ...]],
) -> None:
    data, fenced = lowered
    wrong = tuple(replace(f, weight=f.weight + 1) if f.site == "proj:linear" else f for f in fenced)
    with pytest.raises(UnsupportedError, match="proj:linear.*weights in the file are not the model's"):
        tflite_sites.locate(flatbuffer.read(data), wrong)


def test_the_given_graph_is_left_as_it_was(graph: Graph, prepared: FloatConversion) -> None:
    targets = {str(node.target) for node in graph.program.graph.nodes}
    assert not any("quantize" in target for target in targets)
    assert graph.program.graph_signature.user_outputs[0] in {n.name for n in graph.program.graph.nodes}


def test_what_is_not_offered_is_refused(graph: Graph, prepared: FloatConversion, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="lut4"):
        TARGET.write(prepared, "lut4", None, tmp_path / "m.tflite")
    with pytest.raises(UsageError, match="int4"):
        TARGET.prepare(graph, models.spec_of(10), {"input": "int4"})


def test_embedded_json_is_the_shared_contract(prepared: FloatConversion, tmp_path: Path) -> None:
    TARGET.write(prepared, "fp32", None, tmp_path / "m.tflite")
    raw = (tmp_path / "m.tflite").read_bytes()
    start = raw.index(b'{"height"')
    text = raw[start : raw.index(b"}", start) + 1]
    assert json.loads(text)["layout"] == "NHWC"
