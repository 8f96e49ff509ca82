"""Core ML packages, read back with coremltools' own reader."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from torch import nn

from converters.coreml import TARGET
from converters.coreml.package import _name_in_order, class_labels
from edgevit.core.errors import StepError, UnsupportedError, UsageError
from edgevit.core.types import Graph, ModelSpec, TensorSpec
from edgevit.formats import preprocess_json
from edgevit.program.sites import list_sites
from tests.converters.coreml._models import (
    CLASSES,
    PREPROCESS,
    SIZE,
    Hybrid,
    Vit,
    convert,
    converted,
    counts,
    exported,
    make,
    operations,
    plan_for,
    read,
)

both = pytest.mark.parametrize("kind", [Vit, Hybrid])


@pytest.fixture(scope="module")
def vit() -> tuple[Graph, ModelSpec]:
    return exported(Vit)[1:]


def test_a_classifier_takes_an_image_and_keeps_its_logits() -> None:
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


def test_normalisation_is_float32_per_channel_and_rounded_once() -> None:
    found = [op for op in operations(converted(Vit, "fp16").path) if op.op_type != "const"]
    scale, shift, cast = found[:3]
    assert [scale.op_type, shift.op_type, cast.op_type] == ["mul", "sub", "cast"]
    assert scale.x.name == "image" and cast.x is shift.outputs[0] and cast.dtype.val == "fp16"
    std, mean = np.array(PREPROCESS.std), np.array(PREPROCESS.mean)
    assert scale.y.val.dtype == shift.y.val.dtype == np.float32
    np.testing.assert_allclose(scale.y.val.ravel(), 1 / (255 * std), rtol=1e-7)
    np.testing.assert_allclose(shift.y.val.ravel(), mean / std, rtol=1e-7)


@both
def test_w8_stores_the_integers_of_the_plan_and_no_float_weights(kind: type[nn.Module]) -> None:
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
def test_w8_weights_take_half_the_bytes_of_float16(kind: type[nn.Module]) -> None:
    def stored(precision: str) -> int:
        weights = converted(kind, precision).path / "Data" / "com.apple.CoreML" / "weights"
        return (weights / "weight.bin").stat().st_size

    integers = sum(t.size for t in converted(kind, "w8").plan.tensors.values())
    scales_and_alignment = 512 * len(converted(kind, "w8").sites)
    assert abs(stored("fp16") - stored("w8") - integers) < scales_and_alignment


@both
def test_w8a8_quantizes_each_tensor_once_and_shares_it(kind: type[nn.Module]) -> None:
    made = converted(kind, "w8a8")
    found = counts(made.path)
    sources = {s.source for s in list_sites(made.graph) if s.kind in ("linear", "conv")}
    assert len(sources) < len(made.sites), "q, k and v share their input"
    assert found["quantize"] == found["dequantize"] == len(sources)
    assert found["constexpr_affine_dequantize"] == found["linear"] + found["conv"] == len(made.sites)


@both
def test_w8a8_sites_name_the_int8_input_and_the_float16_output(kind: type[nn.Module]) -> None:
    made = converted(kind, "w8a8")
    by_output = {op.outputs[0].name: op for op in operations(made.path) if op.outputs}
    for site in made.sites:
        quantize, operation = by_output[site.input], by_output[site.output]
        assert quantize.op_type == "quantize" and quantize.output_dtype.val == "int8"
        assert int(quantize.zero_point.val) == -3 and quantize.scale.val == np.float16(0.05)
        assert operation.x.op.input is quantize.outputs[0]
        assert operation.outputs[0].dtype.__name__ == "fp16" and operation.x.dtype.__name__ == "fp16"


@both
def test_float_sites_are_told_apart_by_their_weights(kind: type[nn.Module]) -> None:
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
def test_converting_twice_gives_the_same_bytes(tmp_path: Path, precision: str) -> None:
    first = converted(Vit, precision)
    convert(first.graph, first.spec, precision, tmp_path / "m.mlpackage")

    def digests(path: Path) -> dict[str, str]:
        files = [f for f in path.rglob("*") if f.is_file()]
        return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    assert digests(first.path) == digests(tmp_path / "m.mlpackage") and len(digests(first.path)) == 3


def test_values_that_coremltools_numbered_are_numbered_by_their_order_in_the_program() -> None:
    def program(first: int, second: int) -> Any:
        @mb.program(input_specs=[mb.TensorSpec(shape=(2,))], opset_version=ct.target.iOS17)
        def made(image: Any) -> Any:
            x = mb.mul(x=image, y=mb.const(val=np.float32(2), name=f"const_{first}_to_fp16"), name="mul_7")
            x = mb.add(x=x, y=mb.const(val=np.float32(3), name=f"const_{second}"), name="blocks_1")
            return mb.relu(x=x, name="relu_9")

        return made

    programs = [program(8, 5), program(6, 11)]
    for each in programs:
        _name_in_order(each)
    names = [[o.outputs[0].name for o in each.functions["main"].operations] for each in programs]
    assert names[0] == names[1] == ["const_0", "mul_0", "const_1", "blocks_1", "relu_9"]


def test_metadata_says_how_to_use_the_file_and_whose_it_is() -> None:
    metadata = read(converted(Vit, "fp16").path)[0].description.metadata
    extra = dict(metadata.userDefined)
    assert preprocess_json.loads(extra["edgevit.preprocess"]) == preprocess_json.FileInput(
        PREPROCESS, "image", takes_pixels=False
    )
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


def test_capabilities_is_float16_with_integer_inputs_of_linear_and_conv() -> None:
    assert TARGET.capabilities("fp16") is None
    capabilities = TARGET.capabilities("w8a8")
    assert capabilities is not None and (capabilities.compute, capabilities.scale_dtype) == (
        "float16",
        "float16",
    )
    assert [(k.kind, k.input, k.output, k.bias) for k in capabilities.kinds] == [
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

    with pytest.raises(UnsupportedError, match=r"at most rank 5, :reshape(\.\d)? has rank 6"):
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
    from converters.coreml import package

    graph, spec = vit
    real = package.save

    def swapped(*args: Any) -> Any:
        handles, numbers = real(*args), args[1].handles
        q, k = numbers["blocks.0.q:linear"], numbers["blocks.0.k:linear"]
        return {**handles, q: handles[k], k: handles[q]}

    monkeypatch.setattr(package, "save", swapped)
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
