"""Whole programs through the evaluator: inputs of any kind, several images at once, and what errors say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types

from edgevit.core.errors import EdgevitError, InputError, UnsupportedError
from edgevit.core.runner import RunOptions
from edgevit.runtimes._mil.call import call
from edgevit.runtimes._mil.evaluate import evaluate
from edgevit.runtimes._mil.table import KERNELS
from edgevit.runtimes.coreml_reference import RUNTIME
from tests.edgevit.runtimes.mil._packages import SIZE, image_program, pixels, save_program

Body = Callable[..., Any]
INTEGERS = types.int32


def package(body: Body, path: Path, target: Any = ct.target.iOS17, **inputs: tuple[Any, Any]) -> Path:
    """A program with these inputs, each (shape, element type), as it is written: nothing is optimized."""
    specs = [mb.TensorSpec(shape=shape, dtype=kind) for shape, kind in inputs.values()]
    program = mb.program(input_specs=specs, opset_version=target)(_with_names(body, tuple(inputs)))
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    model.save(str(path))
    return path


def _with_names(body: Body, names: tuple[str, ...]) -> Body:
    """The builder reads the names of the inputs from the signature."""
    scope: dict[str, Any] = {"body": body}
    exec(f"def main({', '.join(names)}):\n    return body({', '.join(names)})", scope)
    made: Body = scope["main"]
    return made


def values(path: Path, **inputs: Any) -> np.ndarray:
    (found,) = evaluate(path, {name: np.asarray(value) for name, value in inputs.items()}).values()
    return np.asarray(found)


DATA = np.arange(12, dtype=np.float32).reshape(4, 3)
TWO = np.stack([DATA, DATA * 2])


def test_indices_of_run_time_have_their_own_values_for_each_image(tmp_path: Path) -> None:
    path = package(
        lambda data, indices: mb.gather(x=data, indices=indices, axis=0, validate_indices=True),
        tmp_path / "m.mlpackage",
        data=(DATA.shape, types.fp32),
        indices=((2, 2), INTEGERS),
    )
    indices = np.array([[[0, 1], [2, 3]], [[3, 3], [0, 1]]], np.int32)
    found = values(path, data=TWO, indices=indices)
    assert np.array_equal(found, np.stack([x[i] for x, i in zip(TWO, indices, strict=True)]))
    with pytest.raises(InputError, match=r"'gather', which makes the value '\w+': the index -1 is outside"):
        values(path, data=TWO, indices=np.where(indices == 3, -1, indices))


@pytest.mark.parametrize("negative", [True, False])
def test_before_ios_17_negative_indices_count_from_the_end(tmp_path: Path, negative: bool) -> None:
    path = package(
        lambda data, indices: mb.scatter(data=data, indices=indices, updates=DATA[:2], mode="update"),
        tmp_path / "m.mlpackage",
        target=ct.target.iOS16,
        data=(DATA.shape, types.fp32),
        indices=((2,), INTEGERS),
    )
    indices = np.array([[0, -1 if negative else 3]] * 2, np.int32)
    expected = TWO.copy()
    expected[:, [0, 3]] = DATA[:2]
    assert np.array_equal(values(path, data=TWO, indices=indices), expected)


def test_a_size_of_run_time_is_read_where_all_images_have_it_in_common(tmp_path: Path) -> None:
    path = package(
        lambda x, size: mb.resize(
            x=x, shape=size, resized_dims=np.uint32(1), interpolation_mode="NEAREST_NEIGHBOR"
        ),
        tmp_path / "m.mlpackage",
        x=((1, 2), types.fp32),
        size=((1,), INTEGERS),
    )
    x = np.array([[[1, 2]], [[3, 4]]], np.float32)
    assert values(path, x=x, size=[[3], [3]]).tolist() == [[[1, 2, 2]], [[3, 4, 4]]]
    with pytest.raises(UnsupportedError, match="'resize'.* another shape for each image"):
        values(path, x=x, size=[[3], [4]])


def test_bounds_of_run_time_may_be_small_integers(tmp_path: Path) -> None:
    path = package(
        lambda x, i: mb.slice_by_index(x=x, begin=mb.cast(x=i, dtype="int8"), end=np.array([3], np.int8)),
        tmp_path / "m.mlpackage",
        x=((4,), types.fp32),
        i=((1,), INTEGERS),
    )
    assert values(path, x=TWO[:, :, 0], i=[[1], [1]]).tolist() == [[3, 6], [6, 12]]


def test_axes_whose_sizes_the_program_leaves_open(tmp_path: Path) -> None:
    program = mb.program(
        input_specs=[mb.TensorSpec(shape=(get_new_symbol(), 3))], opset_version=ct.target.iOS17
    )(lambda x: mb.expand_dims(x=x, axes=[1]))
    sizes = [ct.TensorType("x", shape=(ct.RangeDim(1, 8), 3))]
    path = save_program(program, tmp_path / "m.mlpackage", inputs=sizes)
    assert np.array_equal(values(path, x=TWO), TWO[:, :, None])


def test_a_program_may_have_no_input(tmp_path: Path) -> None:
    path = package(lambda: mb.const(val=DATA, name="fixed"), tmp_path / "m.mlpackage")
    assert np.array_equal(values(path), DATA[None])


def test_an_output_may_be_a_constant(tmp_path: Path) -> None:
    def body(image: Any) -> Any:
        return mb.relu(x=image, name="y"), mb.const(val=np.array([[1.5, 2.5]], np.float32), name="fixed")

    path = save_program(image_program(body), tmp_path / "m.mlpackage")
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        found = runner.run(pixels(3))
    (fixed,) = (value for value in found.values() if value.shape == (3, 2))
    assert fixed.tolist() == [[1.5, 2.5]] * 3


def test_a_scalar_picks_one_element_of_a_vector(tmp_path: Path) -> None:
    path = package(
        lambda x, i: mb.gather(x=x, indices=mb.squeeze(x=i), axis=0),
        tmp_path / "m.mlpackage",
        x=((4,), types.fp32),
        i=((1,), INTEGERS),
    )
    assert values(path, x=TWO[:, :, 0], i=[[1], [3]]).tolist() == [3, 18]


def test_integers_are_multiplied_as_integers(tmp_path: Path) -> None:
    weight = np.array([[3, 1 << 24], [1, 1]], np.int32)  # 2^24 + 1 is no float32
    path = package(lambda x: mb.matmul(x=x, y=weight), tmp_path / "m.mlpackage", x=((1, 2), INTEGERS))
    x = np.array([[[1, 1]], [[2, 1]]], np.int32)
    assert np.array_equal(values(path, x=x), x @ weight)


@pytest.mark.parametrize(("left", "right"), [(torch.int32, torch.float32), (torch.float32, torch.int32)])
def test_products_take_a_mixture_of_floats_and_integers(left: torch.dtype, right: torch.dtype) -> None:
    x, y = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[5, 6], [7, 8]])
    expected = [[19.0, 22.0], [43.0, 50.0]]
    assert KERNELS["matmul"].function(x=x.to(left), y=y.to(right)).tolist() == expected
    linear = KERNELS["linear"].function
    assert linear(x=x.to(left), weight=y.T.to(right)).tolist() == expected
    with_bias = linear(x=x.to(left), weight=y.T.to(right), bias=torch.tensor([1, 2]).to(left))
    assert with_bias.tolist() == [[20.0, 24.0], [44.0, 52.0]]


@pytest.mark.parametrize("source", [np.float32, np.int32])
@pytest.mark.parametrize("target", ["int8", "uint8", "int16", "uint16"])
def test_casts_to_narrow_integers_keep_the_low_bits_as_numpy_does(source: type, target: str) -> None:
    x = np.array([-70000, -32769, -300, -129, -1, 0, 127, 128, 255, 256, 40000, 65535, 65536], source)
    found = KERNELS["cast"].function(x=torch.from_numpy(x), dtype=target)
    assert found.tolist() == x.astype(np.int32).astype(target).tolist()


def test_casts_cut_the_fraction_off_before_they_wrap(tmp_path: Path) -> None:
    path = package(
        lambda x: mb.cast(x=mb.cast(x=x, dtype="int16"), dtype="fp32"),
        tmp_path / "m.mlpackage",
        x=((4,), types.fp32),
    )
    assert values(path, x=np.array([[40000.9, -1.7, 3.9, -32769.5]], np.float32)).tolist() == [
        [-25536, -1, 3, 32767]
    ]


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_same_conv_transpose_is_the_gradient_of_the_same_convolution(pad_type: str) -> None:
    """Whatever output shape: every one that a `same` convolution shrinks to the input's size."""
    generator = torch.Generator().manual_seed(0)
    for stride in (1, 2, 3):
        for kernel in (1, 2, 3, 5):
            for size in range(3 * stride - stride + 1, 3 * stride + 1):
                weight = torch.randn(2, 3, kernel, generator=generator)
                image = torch.zeros(1, 3, size, requires_grad=True)
                result = KERNELS["conv"].function(x=image, weight=weight, strides=[stride], pad_type=pad_type)
                x = torch.randn(result.shape, generator=generator)
                (expected,) = torch.autograd.grad(result, image, x)
                found = KERNELS["conv_transpose"].function(
                    x=x, weight=weight, strides=[stride], pad_type=pad_type, output_shape=[1, 3, size]
                )
                torch.testing.assert_close(found, expected)


def test_conv_transpose_against_pytorch_in_two_dimensions() -> None:
    generator = torch.Generator().manual_seed(0)
    for groups, stride, dilation, (top, bottom, left, right) in (
        (1, (2, 1), (1, 2), (0, 0, 0, 0)),
        (2, (1, 3), (2, 1), (1, 2, 0, 1)),
    ):
        x = torch.randn(2, 4, 5, 6, generator=generator)
        weight = torch.randn(4, 3, 2, 3, generator=generator)
        bias = torch.randn(3 * groups, generator=generator)
        full = F.conv_transpose2d(x, weight, bias, stride, groups=groups, dilation=dilation)
        found = KERNELS["conv_transpose"].function(
            x=x,
            weight=weight,
            bias=bias,
            pad_type="custom",
            pad=[top, bottom, left, right],
            strides=list(stride),
            dilations=list(dilation),
            groups=groups,
        )
        height, width = full.shape[2:]
        torch.testing.assert_close(found, full[:, :, top : height - bottom, left : width - right])


def _raises(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RuntimeError("first\nsecond"), UnsupportedError, "cannot be executed: RuntimeError: first"),
        (IndexError(), UnsupportedError, "cannot be executed: IndexError: no message"),
        (ValueError("x" * 500), UnsupportedError, f"ValueError: {'x' * 160}..."),
        (InputError("bad", "hint"), InputError, ": bad"),
    ],
)
def test_whatever_an_operation_raises_names_it_and_its_value(
    error: Exception, kind: type[EdgevitError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        call("conv", "y_1", _raises(error), {})
    message = caught.value.message
    assert "'conv'" in message and "'y_1'" in message and message.endswith(text)
    assert "\n" not in message


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_lack_of_memory_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(MemoryError):
        call("conv", "y", _raises(error), {})


def test_an_image_of_any_size_is_refused(tmp_path: Path) -> None:
    shape = (1, 3, ct.RangeDim(4, 16), SIZE)
    inputs = [ct.ImageType("image", shape=shape, color_layout=ct.colorlayout.RGB)]
    program = image_program(lambda x: mb.relu(x=x), (1, 3, get_new_symbol(), SIZE))
    path = save_program(program, tmp_path / "m.mlpackage", inputs=inputs)
    with pytest.raises(UnsupportedError, match="the input image has a flexible shape"):
        RUNTIME.open(path, RunOptions(threads=1))


def test_other_inputs_than_the_programs_are_named(tmp_path: Path) -> None:
    path = package(lambda x: mb.relu(x=x), tmp_path / "m.mlpackage", x=((2,), types.fp32))
    with pytest.raises(InputError, match="takes x, not y"):
        values(path, y=[[1.0, 2.0]])
