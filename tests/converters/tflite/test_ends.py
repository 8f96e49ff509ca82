"""Files that take bytes and give integers, executed by LiteRT itself, against PyTorch and the simulated plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from converters.tflite import input
from converters.tflite.target import TARGET, FloatConversion
from edgevit.core.errors import UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, Preprocess
from edgevit.program.sites import WEIGHTED, list_sites
from edgevit.quant import plan_file
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(4)
BYTES = {"uint8": IMAGES, "int8": (IMAGES.astype(np.int16) - 128).astype(np.int8)}
STEP = np.float32(1 / 255)


@pytest.fixture
def prepared(prepared: FloatConversion) -> FloatConversion:
    return replace(prepared, input="uint8")


def _plan(graph: Graph, options: dict[str, str]) -> QuantPlan:
    return models.plan_of(graph, TARGET.capabilities("w8a8", options), models.normalised(IMAGES))


def _fed(path: Path, images: NDArray[np.generic]) -> tuple[NDArray[np.generic], tuple[float, int]]:
    """What LiteRT alone gives for the bytes: the output as it stands in the file, and its scale and zero point."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (entry,), (leave,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert entry["dtype"] == images.dtype
    found = []
    for image in images:
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(leave["index"])[0])
    return np.stack(found), leave["quantization"]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_the_cameras_bytes_are_the_input(
    prepared: FloatConversion, module: torch.nn.Module, tmp_path: Path, dtype: str
) -> None:
    """mean and std differ by channel: the file normalises, and says that its input is byte / 255."""
    path = tmp_path / "m.tflite"
    TARGET.write(replace(prepared, input=dtype), "fp32", None, path)
    wanted = module(models.normalised(IMAGES)).detach()
    assert sqnr(wanted, _fed(path, BYTES[dtype])[0]) > 100
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        assert sqnr(wanted, runner.run(IMAGES)["logits"]) > 100
    contents = RUNTIME.contents(path)
    (entry,) = contents.inputs
    assert (entry.name, entry.dtype, entry.scale) == ("image", dtype, STEP)
    assert entry.zero_point == (0 if dtype == "uint8" else -128)
    found = small.ModelMetadata(path)  # what another tool does before it quantizes: (pixel - mean) / std
    np.testing.assert_allclose((found.mean, found.std), ([0, 0, 0], [255, 255, 255]))
    assert contents.preprocess == models.PREPROCESS
    raw = path.read_bytes()
    text = raw[raw.index(b'{"height"') :]
    assert json.loads(text[: text.index(b"}") + 1])["input"] == "pixels"


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integers_from_door_to_door(
    graph: Graph, prepared: FloatConversion, tmp_path: Path, dtype: str
) -> None:
    """The first and the last operator are integer; the values are those of the plan, output grid included."""
    path = tmp_path / "m.tflite"
    plan = _plan(graph, {"output": dtype})
    sites = TARGET.write(replace(prepared, input=dtype), "w8a8", plan, path)
    steps, (scale, zero) = _fed(path, BYTES[dtype])
    assert steps.dtype == dtype
    wanted = simulate(graph, plan, models.normalised(IMAGES))[0].numpy()
    np.testing.assert_allclose(scale * (steps.astype(np.float32) - zero), wanted, atol=1.01 * scale)
    assert sqnr(wanted, scale * (steps.astype(np.float32) - zero)) > 40
    kinds = small.operators(path)
    assert all("FLOAT32" not in (*i, *o) for _, i, o in (*kinds[:2], *kinds[-1:]))
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        np.testing.assert_allclose(
            runner.run(IMAGES)["logits"], scale * (steps.astype(np.int32) - zero), rtol=1e-6
        )
    first, last = sites[0], sites[-1]
    with RUNTIME.open(path, RunOptions(threads=1, taps=(first.input, last.input, last.output))) as runner:
        seen = runner.run(IMAGES)
    params = plan.sites[0].input
    assert params is not None
    real = models.normalised(IMAGES).permute(0, 2, 3, 1).numpy()
    expected = np.clip(np.rint(real / params.scale[0]) + params.zero_point[0], -128, 127)
    assert np.abs(seen[first.input] - expected).max() <= 1 and (seen[first.input] == expected).mean() > 0.9995
    fed = plan.sites[-1].input
    assert fed is not None and seen[last.output].dtype == np.int8
    simulator = SiteSimulator(graph, plan)
    for entered, left in zip(seen[last.input], seen[last.output], strict=True):
        value = fed.scale[0] * (torch.from_numpy(entered).float() - fed.zero_point[0])
        off = simulator.run(last.site, value.reshape(simulator.shapes(last.site)[0])).numpy() - left
        assert np.abs(off).max() <= 1
    # the normalisation is no part of the model
    assert RUNTIME.integer_macs(path).static == _macs(graph)


def _macs(graph: Graph) -> int:
    return sum(s.macs for s in list_sites(graph) if s.kind in WEIGHTED)


def test_one_mean_and_std_for_all_channels_are_the_scale_and_the_zero_point(
    prepared: FloatConversion, module: torch.nn.Module, tmp_path: Path
) -> None:
    """(byte - 51) / 102 by hand: nothing is computed at the door, and a reader that normalises gets the bytes."""
    own = replace(models.PREPROCESS, mean=(0.2,) * 3, std=(0.4,) * 3)
    path = tmp_path / "m.tflite"
    TARGET.write(replace(prepared, spec=replace(prepared.spec, preprocess=own)), "fp32", None, path)
    wanted = module((torch.from_numpy(IMAGES).float().permute(0, 3, 1, 2) - 51) / 102).detach()
    assert sqnr(wanted, _fed(path, IMAGES)[0]) > 100
    (entry,) = RUNTIME.contents(path).inputs
    assert entry.scale == np.float32(1 / 102) and entry.zero_point == 51
    found = small.ModelMetadata(path)
    values = (IMAGES - np.array(found.mean)) / np.array(found.std)
    assert np.array_equal(np.rint(values / entry.scale + entry.zero_point), IMAGES)
    assert [kind for kind, *_ in small.operators(path)].count("CONV_2D") == 2  # the model's own


@pytest.mark.parametrize(
    ("mean", "std", "scale", "zero"),
    [
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1 / 255, 0),
        ((127 / 255,) * 3, (128 / 255,) * 3, 1 / 128, 127),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1 / 255, 0),  # 127.5 is no zero point: half a step would be lost
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1 / 255, 0),
        ((0.449,), (0.226,), 1 / 255, 0),
        ((0.2,), (0.4,), 1 / 102, 51),
    ],
)
def test_scale_and_zero_point_worked_out_by_hand(
    mean: tuple[float, ...], std: tuple[float, ...], scale: float, zero: int
) -> None:
    found = input.pixels_of(Preprocess(8, 8, (8, 8), mean=mean, std=std))
    assert found.scale == pytest.approx(scale, rel=1e-12) and found.zero_point == zero
    for byte in (0, 77, 255):
        for channel in range(len(mean)):
            real = found.scale * (byte - found.zero_point)
            taken = real * found.factor[channel] + found.offset[channel]
            assert taken == pytest.approx((byte / 255 - mean[channel]) / std[channel], abs=1e-9)


def test_a_model_for_bgr_takes_rgb_bytes(
    graph: Graph, prepared: FloatConversion, module: torch.nn.Module, tmp_path: Path
) -> None:
    given = Preprocess(32, 32, (32, 32), color="bgr", mean=(0.2, 0.4, 0.6), std=(0.2, 0.25, 0.3))
    spec = replace(models.spec_of(10), preprocess=given)
    prepared = replace(prepared, spec=spec, input="int8")
    bgr = models.normalised(np.ascontiguousarray(IMAGES[..., ::-1]), given)
    TARGET.write(prepared, "fp32", None, tmp_path / "m.tflite")
    assert sqnr(module(bgr).detach(), _fed(tmp_path / "m.tflite", BYTES["int8"])[0]) > 90
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), bgr)
    TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
    assert sqnr(simulate(graph, plan, bgr)[0], _fed(tmp_path / "m.tflite", BYTES["int8"])[0]) > 30
    assert "FLOAT32" not in small.operators(tmp_path / "m.tflite")[0][1]


def test_an_output_that_no_integer_layer_gives_has_a_grid_over_its_measured_range(
    graph: Graph, prepared: FloatConversion, tmp_path: Path
) -> None:
    """The last layer left out of the plan: its float output is rounded once, behind it."""
    capabilities = TARGET.capabilities("w8a8", {"output": "int8"})
    assert capabilities is not None
    kinds = tuple(k for k in capabilities.kinds if k.kind != "linear")
    plan = models.plan_of(graph, replace(capabilities, kinds=kinds), models.normalised(IMAGES))
    assert "head:linear" not in {site.site for site in plan.sites}
    plain = replace(plan, outputs=())
    real = simulate(graph, plain, models.normalised(IMAGES))[0].numpy()
    (params,) = plan.outputs
    low, high = min(real.min(), 0), max(real.max(), 0)
    assert params.scale[0] == pytest.approx((high - low) / 255, rel=0.05)
    TARGET.write(prepared, "w8a8", plan, tmp_path / "m.tflite")
    steps, (scale, zero) = _fed(tmp_path / "m.tflite", IMAGES)
    np.testing.assert_allclose(scale * (steps.astype(np.float32) - zero), real, atol=1.6 * scale)


def test_a_plan_keeps_its_output_grids(graph: Graph, tmp_path: Path) -> None:
    plan = _plan(graph, {"output": "uint8"})
    plan_file.save((plan,), tmp_path)
    (again,) = plan_file.load(tmp_path)
    assert again.outputs == plan.outputs and again.outputs[0].dtype == "uint8"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"input": "int16"}, "tflite.input must be float32, uint8 or int8, not 'int16'"),
        ({"output": "int4"}, "tflite.output must be float32, int8 or uint8, not 'int4'"),
    ],
)
def test_a_type_that_is_not_offered_is_refused(options: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        TARGET.check_options(options)


@pytest.mark.parametrize("precision", [p for p in TARGET.precisions if p != "w8a8"])
def test_integer_outputs_need_static_ranges(precision: str) -> None:
    with pytest.raises(UsageError, match=f"tflite.output=int8 needs static ranges.*{precision} has not"):
        TARGET.capabilities(precision, {"output": "int8"})
