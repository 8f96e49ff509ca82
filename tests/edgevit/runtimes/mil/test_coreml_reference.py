from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import timm
import torch
from coremltools.converters.mil.mil import Builder as mb

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes.coreml_reference import RUNTIME
from tests._sqnr import sqnr
from tests.edgevit.runtimes.mil._packages import SIZE, image_program, pixels, save_module, save_program

INT8_WEIGHT = np.arange(-6, 6, dtype=np.int8).reshape(4, 3, 1, 1)


class _Normalised(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.model((image / 255 - 0.5) / 0.25)
        return result


@pytest.fixture(scope="module")
def vit() -> torch.nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=10)
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return _Normalised(model).eval()


def _run(path: Path, images: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    with RUNTIME.open(path, RunOptions(threads=1, **options)) as runner:
        return runner.run(images)


@pytest.mark.parametrize(("half", "least"), [(False, 80.0), (True, 40.0)])
def test_a_converted_vit_agrees_with_pytorch(
    vit: torch.nn.Module, tmp_path: Path, half: bool, least: float
) -> None:
    path = save_module(vit, 64, tmp_path / "vit.mlpackage", half)
    images = pixels(3, 64)
    with torch.inference_mode():
        wanted = vit(torch.from_numpy(images).permute(0, 3, 1, 2).float()).numpy()
    (found,) = _run(path, images).values()
    assert found.shape == (3, 10)
    assert sqnr(wanted, found) >= least
    if half:
        assert found.dtype == np.float16
        assert sqnr(wanted, found) < 80.0, "float16 must be rounded after each operation"


def test_a_classifier_gives_probabilities_and_labels(tmp_path: Path) -> None:
    labels = [f"class {i}" for i in range(5)]
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, SIZE), torch.nn.Flatten(), torch.nn.Softmax(-1))
    path = save_module(
        module, SIZE, tmp_path / "c.mlpackage", False, classifier_config=ct.ClassifierConfig(labels, "label")
    )
    found = _run(path, pixels(4))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(pixels(4)).permute(0, 3, 1, 2).float()).numpy()
    np.testing.assert_allclose(found["label_probs"], wanted, atol=1e-4)
    assert found["label"].tolist() == [labels[i] for i in wanted.argmax(1)]
    assert RUNTIME.contents(path).labels == tuple(labels)


def test_float16_values_are_rounded_after_each_operation(tmp_path: Path) -> None:
    def body(image: Any) -> Any:
        half = mb.cast(x=image, dtype="fp16")
        return mb.sub(x=mb.add(x=half, y=np.float16(2048.0)), y=np.float16(2048.0), name="y")

    path = save_program(image_program(body), tmp_path / "half.mlpackage")
    images = np.full((1, SIZE, SIZE, 3), 3, np.uint8)
    found = _run(path, images)["y"]
    # between 2048 and 4096 float16 knows even numbers only; 2051 lies between 2050 and 2052: even mantissa 2052
    assert found.dtype == np.float16
    assert set(found.reshape(-1).tolist()) == {4.0}


@pytest.mark.parametrize(("layout", "first"), [(ct.colorlayout.RGB, 10), (ct.colorlayout.BGR, 30)])
def test_channels_arrive_in_the_order_that_the_file_asks_for(tmp_path: Path, layout: Any, first: int) -> None:
    program = image_program(lambda image: mb.reduce_mean(x=image, axes=[2, 3], name="y"))
    kind = ct.ImageType("image", shape=(1, 3, SIZE, SIZE), color_layout=layout)
    path = save_program(program, tmp_path / "order.mlpackage", inputs=[kind])
    images = np.broadcast_to(np.array([10, 20, 30], np.uint8), (2, SIZE, SIZE, 3)).copy()
    np.testing.assert_allclose(_run(path, images)["y"][1], [first, 20, 40 - first], rtol=1e-6)


def test_scale_and_bias_of_the_image_type_are_part_of_the_program(tmp_path: Path) -> None:
    module = torch.nn.Flatten()
    torch.manual_seed(0)
    exported = torch.export.export(module, (torch.rand(1, 3, SIZE, SIZE),)).run_decompositions({})
    kind = ct.ImageType("image", shape=(1, 3, SIZE, SIZE), scale=1 / 255, bias=[-0.1, -0.2, -0.3])
    model = ct.convert(exported, inputs=[kind], compute_precision=ct.precision.FLOAT32, skip_model_load=True)
    model.save(str(tmp_path / "scaled.mlpackage"))
    images = pixels(2)
    wanted = images.transpose(0, 3, 1, 2) / 255 - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    (found,) = _run(tmp_path / "scaled.mlpackage", images).values()
    np.testing.assert_allclose(found, wanted.reshape(2, -1), atol=1e-6)


def test_a_tensor_input_is_normalised_by_the_preprocessing_that_is_given(tmp_path: Path) -> None:
    program = image_program(lambda image: mb.identity(x=image, name="y"))
    kind = ct.TensorType("image", shape=(1, 3, SIZE, SIZE))
    path = save_program(program, tmp_path / "tensor.mlpackage", inputs=[kind])
    with pytest.raises(InputError, match="does not say how"):
        _run(path, pixels(1))
    preprocess = Preprocess(
        SIZE, SIZE, (SIZE, SIZE), mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.125), color="bgr"
    )
    found = _run(path, pixels(1), preprocess=preprocess)["y"][0]
    wanted = (pixels(1)[0, ..., ::-1] / 255 - 0.5) / np.array([0.5, 0.25, 0.125])
    np.testing.assert_allclose(found, wanted.transpose(2, 0, 1), atol=1e-6)


def _quantized(image: Any, scale: float = 2.0, zero_point: int = -128) -> Any:
    q = mb.quantize(
        input=image, scale=np.float32(scale), zero_point=np.int8(zero_point), output_dtype="int8", name="q"
    )
    return mb.dequantize(input=q, scale=np.float32(scale), zero_point=np.int8(zero_point))


def _int8_weight() -> Any:
    return mb.constexpr_affine_dequantize(
        quantized_data=INT8_WEIGHT, zero_point=np.int8(0), scale=np.full(4, 0.5, np.float32), axis=np.int32(0)
    )


def _conv(image: Any) -> Any:
    return mb.conv(x=image, weight=_int8_weight(), name="y")


def _linear(image: Any) -> Any:
    """Quantized, then only reshaped and transposed, then a linear layer 192 -> 4."""
    flat = mb.transpose(x=mb.reshape(x=_quantized(image), shape=[1, 192, 1]), perm=[0, 2, 1])
    weight = mb.constexpr_affine_dequantize(
        quantized_data=np.ones((4, 192), np.int8),
        zero_point=np.int8(0),
        scale=np.float32(1),
        axis=np.int32(0),
    )
    return mb.linear(x=flat, weight=weight, name="y")


def _matmul(image: Any, both: bool) -> Any:
    left = _quantized(image)
    right = mb.dequantize(
        input=mb.quantize(input=image, scale=np.float32(1), output_dtype="uint8"), scale=np.float32(1)
    )
    return mb.matmul(x=left, y=right if both else image, transpose_x=True, name="y")


def _joined(image: Any, second_scale: float) -> Any:
    return mb.conv(
        x=mb.concat(values=[_quantized(image), _quantized(image, second_scale)], axis=0),
        weight=_int8_weight(),
        name="y",
    )


PLANTED = {
    "float conv with int8 weights": (lambda x: _conv(x), 0),
    "quantized conv": (lambda x: _conv(_quantized(x)), 4 * 3 * 64),
    "quantized conv with float weights": (
        lambda x: mb.conv(x=_quantized(x), weight=INT8_WEIGHT.astype(np.float32), name="y"),
        0,
    ),
    "activation between dequantize and conv": (lambda x: _conv(mb.relu(x=_quantized(x))), 0),
    "quantized linear behind a reshape": (_linear, 4 * 192),
    "matmul of two quantized tensors": (lambda x: _matmul(x, True), 3 * 8 * 8 * 8),
    "matmul with one float side": (lambda x: _matmul(x, False), 0),
    "concat of one scale": (lambda x: _joined(x, 2.0), 2 * 4 * 3 * 64),
    "concat of two scales": (lambda x: _joined(x, 3.0), 0),
}


@pytest.mark.parametrize("name", PLANTED)
def test_integer_macs_counts_only_what_has_integers_on_both_sides(name: str, tmp_path: Path) -> None:
    body, macs = PLANTED[name]
    path = save_program(image_program(body), tmp_path / "planted.mlpackage")
    found = RUNTIME.integer_macs(path)
    assert found.static == macs
    assert (found.dynamic, found.source) == (0, "program")
    assert sum(count for _, count in found.operators) == (1 if macs else 0)


def test_taps_give_integer_tensors_in_their_own_type(tmp_path: Path) -> None:
    path = save_program(image_program(lambda x: _conv(_quantized(x))), tmp_path / "q.mlpackage")
    images = pixels(2)
    found = _run(path, images, taps=("q",))
    wanted = np.round(images.transpose(0, 3, 1, 2) / 2.0) - 128
    assert found["q"].dtype == np.int8
    np.testing.assert_array_equal(found["q"], wanted.clip(-128, 127))
    sums = np.einsum("oc,nchw->nohw", INT8_WEIGHT[:, :, 0, 0] * 0.5, (wanted + 128) * 2)
    np.testing.assert_allclose(found["y"], sums, rtol=1e-6)


def test_an_unknown_tap_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = save_program(image_program(lambda x: _conv(_quantized(x))), tmp_path / "q.mlpackage")
    with pytest.raises(InputError, match="no value nothing"):
        _run(path, pixels(1), taps=("nothing",))


def test_an_unknown_operation_is_an_error_that_names_it_before_anything_runs(tmp_path: Path) -> None:
    program = image_program(lambda x: mb.non_zero(x=x, name="y"))
    path = save_program(program, tmp_path / "u.mlpackage")
    with pytest.raises(UnsupportedError, match="non_zero"):
        RUNTIME.open(path, RunOptions())


def test_many_images_over_several_threads_give_what_each_gives_alone(tmp_path: Path) -> None:
    path = save_program(image_program(lambda x: _conv(_quantized(x))), tmp_path / "q.mlpackage")
    images = pixels(70)
    with RUNTIME.open(path, RunOptions(threads=2)) as runner:
        together = runner.run(images)["y"]
        alone = np.concatenate([runner.run(images[i : i + 1])["y"] for i in (0, 33, 69)])
        prepared = runner.prepare(images[:1])
        runner.invoke(prepared)
    np.testing.assert_allclose(together[[0, 33, 69]], alone, rtol=1e-6)


def test_no_images_and_images_of_another_size_or_type_are_refused(tmp_path: Path) -> None:
    path = save_program(image_program(lambda x: mb.relu(x=x, name="y")), tmp_path / "r.mlpackage")
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        for wrong in (pixels(1, SIZE + 1), pixels(1).astype(np.float32), pixels(1)[0], pixels(0)):
            with pytest.raises(InputError, match="takes images uint8|no image"):
                runner.run(wrong)


def test_contents_reads_back_types_metadata_and_shapes(tmp_path: Path) -> None:
    path = save_program(image_program(lambda x: _conv(_quantized(x))), tmp_path / "q.mlpackage")
    preprocess = Preprocess(SIZE, SIZE, (SIZE, SIZE), interpolation="bilinear")
    model = ct.models.MLModel(str(path), skip_model_load=True)
    model.user_defined_metadata["edgevit.preprocess"] = preprocess_json.dumps(preprocess, "image")
    model.user_defined_metadata["edgevit.labels"] = json.dumps(["a", "b"])
    model.user_defined_metadata["note"] = "kept"
    model.save(str(tmp_path / "m.mlpackage"))
    found = RUNTIME.contents(tmp_path / "m.mlpackage")
    assert found.preprocess == replace(preprocess)
    assert found.labels == ("a", "b")
    assert found.metadata["note"] == "kept"
    # 12 int8 weights, 3 int8 zero points; 4 + 2 float32 scales
    assert found.weight_bytes == {"int8": 15, "float32": 24}
    assert dict(found.operators) == {
        "quantize": 1,
        "dequantize": 1,
        "conv": 1,
        "constexpr_affine_dequantize": 1,
    }
    assert found.max_rank == 4
    assert [(t.name, t.shape) for t in found.inputs] == [("image", (1, 3, SIZE, SIZE))]
    assert [(t.name, t.shape, t.dtype) for t in found.outputs] == [("y", (1, 4, SIZE, SIZE), "float32")]


def test_runtime_says_what_it_is() -> None:
    assert RUNTIME.label() == "coreml-reference 0.1.0"
    assert RUNTIME.unavailable() is None
    assert not RUNTIME.has_latency
