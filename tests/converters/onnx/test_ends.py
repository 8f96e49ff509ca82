"""ONNX files with bytes as input, more images at once, and each operator set, executed against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch

from converters.onnx import TARGET
from converters.onnx.export import FloatConversion
from edgevit.core.errors import EdgevitError, UnsupportedError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, Preprocess
from edgevit.program.sites import WEIGHTED, list_sites
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(5)
# ONNX Runtime alone saturates sums of pairs where the processor has no VNNI, and random weights are large.
ON_ANY_CPU = {"saturation_free": "true"}
WINDOWS = {"patch_size": 2, "window_size": 4, "embed_dim": 16, "depths": (2,), "num_heads": (2,)}


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1, embed_dim=32, num_heads=2, num_classes=10
    )


@pytest.fixture(scope="module")
def graph(module: torch.nn.Module) -> Graph:
    return models.graph_of(module)


@pytest.fixture(scope="module")
def prepared(graph: Graph) -> FloatConversion:
    return TARGET.prepare(graph, models.spec_of(10), {})  # type: ignore[return-value]


def _alone(path: Path, image: np.ndarray) -> np.ndarray:
    """What ONNX Runtime alone gives for one feed."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": image})[0])


def _ends(path: Path) -> list[list[int | str]]:
    graph = onnx.load(path).graph
    return [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.output)
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8a8"])
def test_the_bytes_of_an_image_are_the_input(
    module: torch.nn.Module, graph: Graph, prepared: FloatConversion, tmp_path: Path, precision: str
) -> None:
    path, images = tmp_path / "m.onnx", models.normalised(IMAGES)
    placed = TARGET.capabilities(precision, ON_ANY_CPU)
    plan = None if placed is None else models.plan_of(graph, placed, images)
    sites = TARGET.write(replace(prepared, takes_pixels=True), precision, plan, path)
    wanted = module(images).detach() if plan is None else simulate(graph, plan, images)[0]
    assert sqnr(wanted[:1], _alone(path, IMAGES[:1])) > (50 if precision == "fp16" else 90)
    with RUNTIME.open(path, RunOptions(threads=1, taps=(sites[0].input,))) as runner:
        found = runner.run(IMAGES)
    assert sqnr(wanted, found["logits"]) > (50 if precision == "fp16" else 90)
    if precision == "fp32":
        assert sqnr(images, found[sites[0].input]) > 120
    contents = RUNTIME.contents(path)
    assert [(t.name, t.shape, t.dtype) for t in contents.inputs] == [("image", (1, 32, 32, 3), "uint8")]
    assert contents.preprocess == models.PREPROCESS


def test_a_model_for_bgr_takes_rgb_bytes(
    module: torch.nn.Module, prepared: FloatConversion, tmp_path: Path
) -> None:
    given = Preprocess(32, 32, (32, 32), color="bgr", mean=(0.2, 0.4, 0.6), std=(0.2, 0.25, 0.3))
    spec = replace(prepared.spec, preprocess=given)
    TARGET.write(replace(prepared, spec=spec, takes_pixels=True), "fp32", None, tmp_path / "m.onnx")
    bgr = models.normalised(np.ascontiguousarray(IMAGES[..., ::-1]), given)
    assert sqnr(module(bgr[:1]).detach(), _alone(tmp_path / "m.onnx", IMAGES[:1])) > 100
    with RUNTIME.open(tmp_path / "m.onnx", RunOptions(threads=1)) as runner:
        assert sqnr(module(bgr).detach(), runner.run(IMAGES)["logits"]) > 100


def _families() -> Iterator[tuple[str, torch.nn.Module]]:
    """Class token, windows that are part of the batch axis, patches behind the batch, pooled attention."""
    yield "vit_tiny_patch16_224", models.tiny_vit()
    yield "swin", timm.create_model("swin_tiny_patch4_window7_224", img_size=32, num_classes=10, **WINDOWS)
    yield "hybrid", small.Hybrid()


@pytest.mark.parametrize(("name", "module"), list(_families()), ids=lambda v: v if isinstance(v, str) else "")
def test_more_images_at_once_give_what_each_alone_gives(
    name: str, module: torch.nn.Module, tmp_path: Path
) -> None:
    graph = models.graph_of(module)
    prepared = TARGET.prepare(graph, models.spec_of(10), {"batch": "3"})
    assert isinstance(prepared, FloatConversion) and prepared.batch == 3
    plan = models.plan_of(graph, TARGET.capabilities("w8a8", {"stem": "integer"}), models.normalised(IMAGES))
    for batch in (3, None):
        _assert_follows(replace(prepared, batch=batch), module, graph, plan, tmp_path / "m.onnx")


def _assert_follows(
    prepared: FloatConversion, module: torch.nn.Module, graph: Graph, plan: QuantPlan, path: Path
) -> None:
    batch, images = prepared.batch, models.normalised(IMAGES)
    TARGET.write(prepared, "fp32", None, path)
    assert _ends(path) == [[batch or "batch", 3, 32, 32], [batch or "batch", 10]]
    wanted = module(images).detach()
    assert sqnr(wanted[:3], _alone(path, images[:3].numpy())) > 100
    if batch is None:
        assert sqnr(wanted, _alone(path, images.numpy())) > 100
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:  # the last of five fills up a batch of three
        assert sqnr(wanted, runner.run(IMAGES)["logits"]) > 100
    sites = TARGET.write(prepared, "w8a8", plan, path)
    macs = RUNTIME.integer_macs(path).static
    assert macs == sum(s.macs for s in list_sites(graph) if s.kind in WEIGHTED)  # for one image
    taps = tuple(dict.fromkeys(n for s in sites for n in (s.input, s.output)))
    with RUNTIME.open(path, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(IMAGES[:2])
    alone = SiteSimulator(graph, plan)
    for site, planned in zip(sites, plan.sites, strict=True):  # tapped tensors are those of one image each
        entering, leaving = alone.shapes(site.site)
        for image in range(2):
            value = torch.from_numpy(found[site.input][image]).float().reshape(entering)
            assert planned.input is not None
            real = (value - planned.input.zero_point[0]) * planned.input.scale[0]
            got = torch.from_numpy(found[site.output][image]).float().reshape(leaving)
            off = (alone.run(site.site, real) - got).abs().max()
            assert off <= (1 if planned.output is not None else 1e-3 * got.abs().max()), site


@pytest.mark.parametrize(
    "opset", [17, 21, *(pytest.param(n, marks=pytest.mark.family) for n in (18, 19, 20, 22, 23))]
)
def test_each_operator_set_computes_what_pytorch_computes(
    module: torch.nn.Module, graph: Graph, tmp_path: Path, opset: int
) -> None:
    prepared = TARGET.prepare(graph, models.spec_of(10), {"opset": str(opset)})
    TARGET.write(prepared, "fp32", None, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    images = models.normalised(IMAGES)
    assert sqnr(module(images[:1]).detach(), _alone(tmp_path / "m.onnx", images[:1].numpy())) > 100


def test_operator_set_17_in_integers_with_all_that_18_writes_otherwise(tmp_path: Path) -> None:
    """Means with axes as an input, Split by number and a Pad with axes become what 17 has."""

    class Everything(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = torch.nn.Conv2d(3, 8, 3, 4), torch.nn.Linear(4, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.nn.functional.pad(self.conv(image), (1, 0, 2, 1), value=0.5)
            left, right = x.chunk(2, 1)
            return self.head((left * right).mean((2, 3)) + left.amax((2, 3)))

    module, images = Everything(), models.normalised(IMAGES)
    graph = models.graph_of(module)
    prepared = TARGET.prepare(
        graph, models.spec_of(10), {"opset": "17", "input": "uint8", "batch": "dynamic"}
    )
    TARGET.write(prepared, "fp32", None, tmp_path / "m.onnx")
    assert sqnr(module(images).detach(), _alone(tmp_path / "m.onnx", IMAGES)) > 100
    plan = models.plan_of(graph, TARGET.capabilities("w8a8", {"stem": "integer", **ON_ANY_CPU}), images)
    TARGET.write(prepared, "w8a8", plan, tmp_path / "m.onnx")
    assert sqnr(simulate(graph, plan, images)[0], _alone(tmp_path / "m.onnx", IMAGES)) > 40
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 17


def test_what_17_does_not_have_is_named(tmp_path: Path) -> None:
    class Newer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.head(torch.nn.functional.mish(image.mean((2, 3))))

    prepared = TARGET.prepare(models.graph_of(Newer()), models.spec_of(10), {"opset": "17"})
    names = {node.op_type for node in prepared.model.graph}  # type: ignore[attr-defined]
    if "Mish" not in names:  # written in parts: then there is nothing to refuse
        TARGET.write(prepared, "fp32", None, tmp_path / "m.onnx")
        return
    with pytest.raises(UnsupportedError, match="onnx.opset=17 has no operator Mish"):
        TARGET.write(prepared, "fp32", None, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"opset": "16"}, "onnx.opset must be a whole number from 17 to 23, not '16'"),
        ({"batch": "0"}, "onnx.batch must be a whole number from 1 to 4096 or dynamic, not '0'"),
        ({"batch": "many"}, "onnx.batch must be .* not 'many'"),
        ({"input": "int8"}, "onnx.input must be float32 or uint8, not 'int8'"),
    ],
)
def test_a_value_that_is_not_offered_is_refused(options: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        TARGET.check_options(options)


@pytest.mark.parametrize(
    ("precision", "options", "told"),
    [
        ("w4", {"opset": "20"}, "int4 from operator set 21 on, not in 20"),
        ("w8da8", {"batch": "4"}, "onnx.batch does not go with w8da8"),
    ],
)
def test_a_pair_that_does_not_go_together_is_refused_before_any_work(
    precision: str, options: dict[str, str], told: str
) -> None:
    with pytest.raises(EdgevitError, match=told):
        TARGET.capabilities(precision, options)
