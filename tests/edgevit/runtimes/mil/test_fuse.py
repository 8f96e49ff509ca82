"""Programs whose operations are joined, or get the axis of images without vmap, against PyTorch image by image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

from edgevit.core.runner import RunOptions
from edgevit.runtimes._mil.compile import compile_program
from edgevit.runtimes._mil.read import read_mil
from edgevit.runtimes.coreml_reference import RUNTIME
from tests.edgevit.runtimes.mil._packages import SIZE, image_program, pixels, save_program

KERNEL = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
SQUARE = np.random.default_rng(2).standard_normal((SIZE, SIZE)).astype(np.float32)
ROWS = np.array([2, 0], dtype=np.int32)


def _read_twice(x: Any) -> Any:
    y = mb.mul(x=x, y=np.float32(0.01))
    return mb.add(x=mb.relu(x=mb.sub(x=y, y=np.float32(1.0))), y=y)


def _a_view_of_what_is_read_later(x: Any) -> Any:
    y = mb.mul(x=x, y=x)
    z = mb.silu(x=mb.transpose(x=mb.reshape(x=y, shape=[1, 3, 64]), perm=[0, 2, 1]))
    return mb.add(x=mb.reshape(x=z, shape=[1, 3, SIZE, SIZE]), y=y)


def _integers_between(x: Any, zero: int) -> Any:
    numbers = {"scale": np.float32(0.37), "zero_point": np.int8(zero)}
    y = mb.quantize(input=mb.conv(x=x, weight=KERNEL), output_dtype="int8", **numbers)
    return mb.dequantize(input=y, scale=np.float32(0.37), zero_point=np.int8(5))


def _torch_integers(x: torch.Tensor, zero: int) -> torch.Tensor:
    y = F.conv2d(x, torch.from_numpy(KERNEL))
    return ((y / 0.37).round() + zero).clamp(-128, 127).sub(5) * 0.37


Case = tuple[Callable[[Any], Any], Callable[[torch.Tensor], torch.Tensor]]
CASES: dict[str, Case] = {
    "a value read by an elementwise step and once more": (
        _read_twice,
        lambda x: (0.01 * x - 1).relu() + 0.01 * x,
    ),
    "a view of what is read later": (
        _a_view_of_what_is_read_later,
        lambda x: F.silu((x * x).reshape(1, 3, 64).mT).reshape(x.shape) + x * x,
    ),
    "quantize and dequantize of one zero point": (
        lambda x: _integers_between(x, 5),
        lambda x: _torch_integers(x, 5),
    ),
    "quantize and dequantize of two zero points": (
        lambda x: _integers_between(x, -3),
        lambda x: _torch_integers(x, -3),
    ),
    "quantize per channel": (
        lambda x: mb.quantize(
            input=x, scale=np.array([1, 2, 4], dtype=np.float32), axis=1, output_dtype="uint8"
        ),
        lambda x: (x / torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1)).round(),
    ),
    "conv of a batch": (
        lambda x: mb.conv(x=mb.concat(values=[x, mb.mul(x=x, y=x)], axis=0), weight=KERNEL),
        lambda x: F.conv2d(torch.cat([x, x * x]), torch.from_numpy(KERNEL)),
    ),
    "pool": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
        lambda x: F.max_pool2d(x, 2),
    ),
    "softmax over channels": (
        lambda x: mb.softmax(x=mb.mul(x=x, y=np.float32(0.02)), axis=1),
        lambda x: (x * 0.02).softmax(1),
    ),
    "layer norm over the two last axes": (
        lambda x: mb.layer_norm(x=x, axes=[2, 3], gamma=SQUARE, epsilon=1e-5),
        lambda x: F.layer_norm(x, (SIZE, SIZE), torch.from_numpy(SQUARE)),
    ),
    "mean over all axes": (lambda x: mb.reduce_mean(x=x), lambda x: x.mean().reshape(1)),
    "mean over height, kept": (
        lambda x: mb.reduce_mean(x=x, axes=[2], keep_dims=True),
        lambda x: x.mean(2, keepdim=True),
    ),
    "split, stack and squeeze": (
        lambda x: mb.squeeze(x=mb.stack(values=mb.split(x=x, num_splits=3, axis=1), axis=4), axes=[1]),
        lambda x: torch.stack(x.split(1, 1), 4).squeeze(1),
    ),
    "slice with a step, a mask and a squeezed axis": (
        lambda x: mb.slice_by_index(
            x=x,
            begin=[0, 1, 1, 0],
            end=[1, 0, 7, 0],
            stride=[1, 1, 2, 1],
            end_mask=[False, False, False, True],
            squeeze_mask=[False, True, False, False],
        ),
        lambda x: x[:, 1, 1:7:2, :],
    ),
    "gather rows": (lambda x: mb.gather(x=x, indices=ROWS, axis=2), lambda x: x[:, :, [2, 0]]),
    "pad": (
        lambda x: mb.pad(x=x, pad=[1, 2], mode="constant", constant_val=np.float32(7)),
        lambda x: F.pad(x, (1, 2), value=7.0),
    ),
    "product with a constant on the left": (
        lambda x: mb.matmul(x=SQUARE, y=x, transpose_y=True),
        lambda x: torch.from_numpy(SQUARE) @ x.mT,
    ),
    "sum of two ranks": (
        lambda x: mb.add(x=x, y=mb.reshape(x=mb.reduce_mean(x=x, axes=[1]), shape=[SIZE, SIZE])),
        lambda x: x + x.mean(1).reshape(SIZE, SIZE),
    ),
    "constant beside the value in a list": (
        lambda x: mb.concat(values=[np.ones((1, 1, SIZE, SIZE), dtype=np.float32), x], axis=1),
        lambda x: torch.cat([torch.ones(1, 1, SIZE, SIZE), x], 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_many_images_at_once_give_what_pytorch_gives_for_each(name: str, tmp_path: Path) -> None:
    body, wanted = CASES[name]
    path = save_program(image_program(body), tmp_path / "model.mlpackage")
    images = pixels(3)
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        (found,) = runner.run(images).values()
    each = torch.from_numpy(images).permute(0, 3, 1, 2).float().unsqueeze(1)
    expected = torch.stack([wanted(image) for image in each]).numpy()
    expected = expected[:, 0] if expected.ndim > 1 and expected.shape[1] == 1 else expected
    np.testing.assert_allclose(found.astype(np.float32), expected, rtol=1e-4, atol=1e-4)


def test_an_elementwise_chain_is_one_step_and_a_tap_inside_it_two(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        return mb.relu(x=mb.silu(x=mb.conv(x=x, weight=KERNEL), name="inner"))

    path = save_program(image_program(body), tmp_path / "model.mlpackage")
    file = read_mil(path)
    assert [step.operation for step in compile_program(file).steps] == ["conv"]
    tapped = compile_program(file, ("inner",))
    first, _ = tapped.steps
    assert first.outputs[0].name == "inner"
    with RUNTIME.open(path, RunOptions(threads=1, taps=("inner",))) as runner:
        values = runner.run(pixels(2))
    (result,) = (v for name, v in values.items() if name != "inner")
    assert np.array_equal(result, np.maximum(values["inner"], 0))
    assert values["inner"].min() < 0
