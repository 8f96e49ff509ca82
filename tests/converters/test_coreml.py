"""Core ML packages, read back with coremltools' own reader and executed by the reference evaluator."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from converters._coreml_package import class_labels
from converters.coreml import TARGET
from edgevit.core import preprocess_json
from edgevit.core.errors import StepError, UnsupportedError, UsageError
from edgevit.core.types import (
    Graph,
    Grid,
    ModelSpec,
    Preprocess,
    QuantPlan,
    RunOptions,
    SitePlan,
    SiteTensors,
    TensorSpec,
    TorchModel,
)
from edgevit.graph.export import export_model
from edgevit.graph.sites import list_sites
from edgevit.quant.simulate import simulate
from edgevit.registries import REWRITES
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

SIZE, CLASSES = 32, 5
PREPROCESS = Preprocess(SIZE, SIZE, (36, 36))


class Block(nn.Module):
    """A transformer block whose q, k and v are three layers that read one tensor."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj, self.fc1, self.fc2 = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        h = self.norm1(x)
        q, k, v = (
            f(h).reshape(batch, tokens, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        h = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.proj(h)
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(Block(width, 2), Block(width, 2))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1)))


class Hybrid(nn.Module):
    """Convolutions with batch norm, one of them depthwise, and one transformer block."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1, groups=width, bias=False), nn.BatchNorm2d(width)
        )
        self.block, self.head = Block(width, 2), nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deep(self.stem(x))
        tokens = self.block(x.flatten(2).transpose(1, 2))
        x = torch.cat([x, tokens.transpose(1, 2).reshape(x.shape)], 1).mean((2, 3))
        return self.head(x[:, : x.shape[1] // 2] + x[:, x.shape[1] // 2 :])


def make(module: nn.Module, **changes: Any) -> tuple[Graph, ModelSpec]:
    """Export with every parameter and batch-norm statistic random."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                tensor.add_(
                    torch.rand(tensor.shape, generator=generator) * 0.3 + (0.0 if "var" in name else -0.15)
                )
    spec = ModelSpec(
        "tiny", "python:tiny", PREPROCESS, (TensorSpec("logits", (1, CLASSES), "float32"),),
        tuple("abcde"), "ab" * 32, 1, author="the author", license="Apache-2.0",
    )  # fmt: skip
    spec = replace(spec, **changes)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    return export_model(TorchModel(spec, module.eval()), rewrites), spec


def plan_for(graph: Graph, precision: str) -> QuantPlan:
    """Round to nearest, with one arbitrary grid for all activations."""
    sites, tensors = [], {}
    for site in list_sites(graph):
        if site.kind not in ("linear", "conv"):
            continue
        assert site.weight is not None
        weight = graph.program.state_dict[site.weight].detach().numpy()
        scale = (
            (np.abs(weight).reshape(len(weight), -1).max(1) * 1.001 / 127)
            .astype(np.float16)
            .astype(np.float32)
        )
        steps = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
        tensors[f"{site.name}.weight"] = np.clip(steps, -127, 127).astype(np.int8)
        grid = Grid("int8", tuple(map(float, scale)), (0,) * len(scale), 0)
        entry = Grid("int8", (float(np.float16(0.05)),), (-3,)) if precision == "w8a8" else None
        sites.append(SitePlan(site.name, site.kind, entry, grid, None, "float32" if site.bias else "none"))
    return QuantPlan("coreml", precision, "float16", "", tuple(sites), (), tensors)


def convert(
    graph: Graph, spec: ModelSpec, precision: str, out: Path, options: Mapping[str, str] | None = None
) -> tuple[SiteTensors, ...]:
    plan = plan_for(graph, precision) if precision.startswith("w8") else None
    return TARGET.write(TARGET.prepare(graph, spec, options or {}), precision, plan, out)


def read(path: Path) -> tuple[Any, Any]:
    """Specification and typed program of a saved package, through coremltools' public files."""
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models.utils import load_spec

    specification = load_spec(str(path))
    weights = path / "Data" / "com.apple.CoreML" / "weights"
    return specification, load(specification, specification.specificationVersion, str(weights))


def operations(path: Path) -> list[Any]:
    return list(read(path)[1].functions["main"].operations)


def counts(path: Path) -> Counter[str]:
    return Counter(op.op_type for op in operations(path))


@dataclass(frozen=True)
class Converted:
    module: nn.Module
    graph: Graph
    spec: ModelSpec
    plan: QuantPlan
    path: Path
    sites: tuple[SiteTensors, ...]


Convert = Callable[[type[nn.Module], str], Converted]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """(model, precision) -> its package, each made once."""

    @cache
    def exported(kind: type[nn.Module]) -> tuple[nn.Module, Graph, ModelSpec]:
        torch.manual_seed(0)
        module = kind()
        return (module, *make(module))

    @cache
    def get(kind: type[nn.Module], precision: str) -> Converted:
        module, graph, spec = exported(kind)
        out = tmp_path_factory.mktemp("coreml") / "m.mlpackage"
        sites = convert(graph, spec, precision, out)
        return Converted(module, graph, spec, plan_for(graph, precision), out, sites)

    return get


@pytest.fixture(scope="module")
def vit(converted: Convert) -> tuple[Graph, ModelSpec]:
    made = converted(Vit, "fp16")
    return made.graph, made.spec


both = pytest.mark.parametrize("kind", [Vit, Hybrid])


def test_a_classifier_takes_an_image_and_keeps_its_logits(converted: Convert) -> None:
    description = read(converted(Vit, "fp16").path)[0].description
    (image,) = description.input
    assert image.name == "image" and (image.type.imageType.width, image.type.imageType.height) == (SIZE, SIZE)
    assert image.type.imageType.ColorSpace.Name(image.type.imageType.colorSpace) == "RGB"
    kinds = {o.name: o.type.WhichOneof("Type") for o in description.output}
    assert kinds == {
        "classLabel": "stringType",
        "classLabel_probs": "dictionaryType",
        "logits": "multiArrayType",
    }
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "classLabel_probs"
    logits = next(o for o in description.output if o.name == "logits").type.multiArrayType
    assert logits.ArrayDataType.Name(logits.dataType) == "FLOAT32" and tuple(logits.shape) == (1, CLASSES)


def test_without_labels_the_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 8, 8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.conv(x)
            return x.mean((2, 3)), x.relu()

    outputs = (TensorSpec("pooled", (1, 4), "float32"), TensorSpec("features", (1, 4, 4, 4), "float32"))
    graph, spec = make(Two(), labels=(), outputs=outputs)
    convert(graph, spec, "fp16", tmp_path / "m.mlpackage")
    assert [o.name for o in read(tmp_path / "m.mlpackage")[0].description.output] == ["pooled", "features"]


def test_normalisation_is_float32_per_channel_and_rounded_once(converted: Convert) -> None:
    found = [op for op in operations(converted(Vit, "fp16").path) if op.op_type != "const"]
    scale, shift, cast = found[:3]
    assert [scale.op_type, shift.op_type, cast.op_type] == ["mul", "sub", "cast"]
    assert scale.x.name == "image" and cast.x is shift.outputs[0] and cast.dtype.val == "fp16"
    std, mean = np.array(PREPROCESS.std), np.array(PREPROCESS.mean)
    assert scale.y.val.dtype == shift.y.val.dtype == np.float32
    np.testing.assert_allclose(scale.y.val.ravel(), 1 / (255 * std), rtol=1e-7)
    np.testing.assert_allclose(shift.y.val.ravel(), mean / std, rtol=1e-7)


@both
def test_w8_stores_the_integers_of_the_plan_and_no_float_weights(
    converted: Convert, kind: type[nn.Module]
) -> None:
    made = converted(kind, "w8")
    found = operations(made.path)
    assert [s.site for s in made.sites] == [s.site for s in made.plan.sites]
    assert sum(op.op_type == "constexpr_affine_dequantize" for op in found) == len(made.sites)
    assert not any(op.op_type in ("quantize", "dequantize") for op in found)
    by_output = {op.outputs[0].name: op for op in found if op.outputs}
    for site in made.sites:
        stored = by_output[site.output].weight.op.quantized_data.val
        np.testing.assert_array_equal(stored, made.plan.tensors[f"{site.site}.weight"])


@both
def test_w8_weights_take_half_the_bytes_of_float16(converted: Convert, kind: type[nn.Module]) -> None:
    def stored(precision: str) -> int:
        weights = converted(kind, precision).path / "Data" / "com.apple.CoreML" / "weights"
        return (weights / "weight.bin").stat().st_size

    integers = sum(t.size for t in converted(kind, "w8").plan.tensors.values())
    scales_and_alignment = 512 * len(converted(kind, "w8").sites)
    assert abs(stored("fp16") - stored("w8") - integers) < scales_and_alignment


@both
def test_w8a8_quantizes_each_tensor_once_and_shares_it(converted: Convert, kind: type[nn.Module]) -> None:
    made = converted(kind, "w8a8")
    found = counts(made.path)
    sources = {s.source for s in list_sites(made.graph) if s.kind in ("linear", "conv")}
    assert len(sources) < len(made.sites), "q, k and v share their input"
    assert found["quantize"] == found["dequantize"] == len(sources)
    assert found["constexpr_affine_dequantize"] == found["linear"] + found["conv"] == len(made.sites)


@both
def test_w8a8_sites_name_the_int8_input_and_the_float16_output(
    converted: Convert, kind: type[nn.Module]
) -> None:
    made = converted(kind, "w8a8")
    by_output = {op.outputs[0].name: op for op in operations(made.path) if op.outputs}
    for site in made.sites:
        quantize, operation = by_output[site.input], by_output[site.output]
        assert quantize.op_type == "quantize" and quantize.output_dtype.val == "int8"
        assert int(quantize.zero_point.val) == -3 and quantize.scale.val == np.float16(0.05)
        assert operation.x.op.input is quantize.outputs[0]
        assert operation.outputs[0].dtype.__name__ == "fp16" and operation.x.dtype.__name__ == "fp16"


@both
def test_float_sites_are_told_apart_by_their_weights(converted: Convert, kind: type[nn.Module]) -> None:
    made = converted(kind, "fp32")
    by_output = {op.outputs[0].name: op for op in operations(made.path) if op.outputs}
    weights = {s.name: s.weight for s in list_sites(made.graph) if s.kind in ("linear", "conv")}
    assert [s.site for s in made.sites] == list(weights)
    for site in made.sites:
        name = weights[site.site]
        assert name is not None
        expected = made.graph.program.state_dict[name].detach().numpy()
        np.testing.assert_array_equal(by_output[site.output].weight.val, expected)
        assert by_output[site.output].x.name == site.input


@pytest.mark.parametrize("precision", ["fp32", "w8a8"])
def test_converting_twice_gives_the_same_bytes(converted: Convert, tmp_path: Path, precision: str) -> None:
    first = converted(Vit, precision)
    convert(first.graph, first.spec, precision, tmp_path / "m.mlpackage")

    def digests(path: Path) -> dict[str, str]:
        files = [f for f in path.rglob("*") if f.is_file()]
        return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    assert digests(first.path) == digests(tmp_path / "m.mlpackage") and len(digests(first.path)) == 3


def test_metadata_says_how_to_use_the_file_and_whose_it_is(converted: Convert) -> None:
    metadata = read(converted(Vit, "fp16").path)[0].description.metadata
    extra = dict(metadata.userDefined)
    assert preprocess_json.loads(extra["edgevit.preprocess"]) == (PREPROCESS, "image")
    assert json.loads(extra["edgevit.labels"]) == list("abcde")
    assert metadata.author == "the author" and metadata.license == "Apache-2.0"
    assert metadata.versionString and "fp16" in metadata.shortDescription
    assert not any("date" in key for key in extra)


def test_writing_replaces_an_old_package_leaves_the_graph_alone_and_prints_nothing(
    vit: tuple[Graph, ModelSpec], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph, spec = vit
    (tmp_path / "m.mlpackage").mkdir()
    (tmp_path / "m.mlpackage" / "old").write_text("old")
    before = (str(graph.program.graph), sorted(graph.program.state_dict), sorted(graph.program.constants))
    convert(graph, spec, "w8a8", tmp_path / "m.mlpackage")
    after = (str(graph.program.graph), sorted(graph.program.state_dict), sorted(graph.program.constants))
    assert before == after
    assert [p.name for p in tmp_path.iterdir()] == ["m.mlpackage"]
    assert sorted(p.name for p in (tmp_path / "m.mlpackage").iterdir()) == ["Data", "Manifest.json"]
    assert capfd.readouterr() == ("", "")


def test_ios16_has_w8_but_no_quantized_activations(vit: tuple[Graph, ModelSpec], tmp_path: Path) -> None:
    convert(*vit, "w8", tmp_path / "m.mlpackage", {"deployment": "iOS16"})
    assert read(tmp_path / "m.mlpackage")[0].specificationVersion == 7
    with pytest.raises(UnsupportedError, match="iOS16 can do fp32, fp16, w8, not w8a8"):
        convert(*vit, "w8a8", tmp_path / "n.mlpackage", {"deployment": "iOS16"})


def test_ios18_keeps_weights_and_activations_in_int8(vit: tuple[Graph, ModelSpec], tmp_path: Path) -> None:
    placed = convert(*vit, "w8a8", tmp_path / "m.mlpackage", {"deployment": "iOS18"})
    found = counts(tmp_path / "m.mlpackage")
    assert read(tmp_path / "m.mlpackage")[0].specificationVersion == 9
    assert found["constexpr_blockwise_shift_scale"] == len(placed) and found["quantize"] > 0


def test_an_unknown_deployment_target_is_named_with_those_that_exist(vit: tuple[Graph, ModelSpec]) -> None:
    with pytest.raises(UsageError, match="iOS71") as caught:
        TARGET.prepare(*vit, {"deployment": "iOS71"})
    assert "iOS17" in caught.value.hint


def test_placement_is_float16_with_integer_inputs_of_linear_and_conv() -> None:
    assert TARGET.placement("fp16") is None
    placement = TARGET.placement("w8a8")
    assert placement is not None and (placement.compute, placement.scale_dtype) == ("float16", "float16")
    assert [(k.kind, k.input, k.output, k.bias) for k in placement.kinds] == [
        ("linear", "int8", None, "float32"),
        ("conv", "int8", None, "float32"),
    ]


def test_rank_six_is_refused_with_the_name_of_the_site(tmp_path: Path) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.reshape(1, 3, 4, 8, 4, 8).permute(0, 2, 4, 1, 3, 5)
            return self.head(x.mean((1, 2, 4, 5)))

    with pytest.raises(UnsupportedError, match=r"at most rank 5, :reshape has rank 6"):
        convert(*make(Deep()), "fp32", tmp_path / "m.mlpackage")


def test_an_operator_that_coremltools_lacks_is_an_error_with_its_name(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.special.i0(x).mean((2, 3)))

    with pytest.raises(UnsupportedError, match="i0"):
        convert(*make(Odd()), "fp32", tmp_path / "m.mlpackage")


def test_a_plan_of_another_model_is_refused_by_the_site_it_names(
    vit: tuple[Graph, ModelSpec], tmp_path: Path
) -> None:
    graph, spec = vit
    plan = plan_for(graph, "w8")
    plan = replace(plan, sites=(replace(plan.sites[0], site="elsewhere:linear"), *plan.sites[1:]))
    with pytest.raises(UnsupportedError, match="elsewhere:linear"):
        TARGET.write(TARGET.prepare(graph, spec, {}), "w8", plan, tmp_path / "m.mlpackage")


def test_swapped_weights_in_the_file_are_noticed(
    vit: tuple[Graph, ModelSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters import _coreml_package

    graph, spec = vit
    real = _coreml_package.save

    def swapped(*args: Any) -> Any:
        handles = real(*args)
        return {**handles, 1: handles[2], 2: handles[1]}

    monkeypatch.setattr(_coreml_package, "save", swapped)
    with pytest.raises(StepError, match=r"blocks.0.q:linear .* other integers than the plan's"):
        convert(graph, spec, "w8", tmp_path / "m.mlpackage")


@pytest.mark.parametrize(("approximate", "mode"), [("none", "EXACT"), ("tanh", "TANH_APPROXIMATION")])
def test_gelu_keeps_its_form(tmp_path: Path, approximate: str, mode: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(nn.functional.gelu(x, approximate=approximate).mean((2, 3)))

    convert(*make(Net()), "fp32", tmp_path / "m.mlpackage")
    (gelu,) = (op for op in operations(tmp_path / "m.mlpackage") if op.op_type == "gelu")
    assert gelu.mode.val == mode


def test_repeated_labels_stay_distinct_classes() -> None:
    assert class_labels(("crane", "dog", "crane")) == ["crane", "dog", "crane (2)"]


def image_batch(count: int = 4) -> Pixels:
    """Smooth colours, so that the channels differ more than their neighbours in space do."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, SIZE // 8, SIZE // 8, 3)).astype(np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def normalised(pixels: Pixels, spec: ModelSpec) -> torch.Tensor:
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    if spec.preprocess.color == "bgr":
        x = x.flip(1)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (spec.preprocess.mean, spec.preprocess.std))
    return (x - mean) / std


def execute(path: Path, pixels: Pixels) -> dict[str, Any]:
    with REFERENCE.open(path, RunOptions(threads=1)) as runner:
        return runner.run(pixels)


def sqnr(reference: Any, candidate: Any) -> float:
    """10 log10(signal power / error power), in dB."""
    expected = np.asarray(reference, np.float64).ravel()
    error = expected - np.asarray(candidate, np.float64).ravel()
    return float(10 * np.log10((expected**2).sum() / max((error**2).sum(), 1e-300)))


@both
@pytest.mark.parametrize(("precision", "floor"), [("fp32", 80.0), ("fp16", 40.0)])
def test_float_files_compute_what_pytorch_does_from_pixels(
    converted: Convert, kind: type[nn.Module], precision: str, floor: float
) -> None:
    made = converted(kind, precision)
    with torch.no_grad():
        expected = made.module(normalised(image_batch(), made.spec))
    assert sqnr(expected, execute(made.path, image_batch())["logits"]) >= floor


@both
@pytest.mark.parametrize("precision", ["w8", "w8a8"])
def test_quantized_files_compute_what_the_plan_says(
    converted: Convert, kind: type[nn.Module], precision: str
) -> None:
    made = converted(kind, precision)
    expected = simulate(made.graph, made.plan, normalised(image_batch(), made.spec))
    assert sqnr(expected, execute(made.path, image_batch())["logits"]) >= 30


def test_probabilities_are_the_softmax_of_the_logits(converted: Convert) -> None:
    outputs = execute(converted(Vit, "fp32").path, image_batch())
    expected = torch.from_numpy(outputs["logits"]).softmax(-1)
    np.testing.assert_allclose(outputs["classLabel_probs"], expected, atol=1e-6)
    assert list(outputs["classLabel"]) == ["abcde"[i] for i in expected.argmax(-1)]


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_file_knows_its_colour_order(tmp_path: Path, color: Any) -> None:
    torch.manual_seed(0)
    module = Vit()
    graph, spec = make(
        module, preprocess=replace(PREPROCESS, color=color, mean=(0.2, 0.5, 0.7), std=(0.5, 0.25, 0.2))
    )
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    logits = execute(tmp_path / "m.mlpackage", image_batch())["logits"]
    swapped = replace(spec, preprocess=replace(spec.preprocess, color="bgr" if color == "rgb" else "rgb"))
    with torch.no_grad():
        assert sqnr(module(normalised(image_batch(), spec)), logits) >= 80
        assert sqnr(module(normalised(image_batch(), swapped)), logits) < 20


@pytest.mark.parametrize("operator", [torch.add, torch.sub])
def test_alpha_of_add_and_sub_is_kept(tmp_path: Path, operator: Callable[..., torch.Tensor]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(operator(x, x.relu(), alpha=0.3).mean((2, 3)))

    module = Net()
    graph, spec = make(module)
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    with torch.no_grad():
        expected = module(normalised(image_batch(), spec))
    assert sqnr(expected, execute(tmp_path / "m.mlpackage", image_batch())["logits"]) >= 80
