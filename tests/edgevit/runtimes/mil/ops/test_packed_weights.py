"""Weights that Core ML unpacks itself, read from the packed blob of an iOS 18 package and executed.

The expected numbers follow the operations' documentation: scale (data - offset) per block, and one table
of values per group of output channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from edgevit.core.runner import RunOptions
from edgevit.runtimes.coreml_reference import RUNTIME
from tests.edgevit.runtimes.mil._packages import SIZE, pixels

INPUTS = 3 * SIZE * SIZE


def narrow(values: np.ndarray, name: str) -> np.ndarray:
    """The type of less than 8 bits as coremltools' builder knows it."""
    return values.astype(types.nptype_from_builtin(types.string_to_builtin(name)))


def package(weight: Any, path: Path) -> Path:
    """`logits` = the image's values, flattened, times a weight (4, 192) that `weight` builds."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, SIZE, SIZE))], opset_version=ct.target.iOS18)
    def program(image: Any) -> Any:
        return mb.linear(x=mb.reshape(x=image, shape=(1, INPUTS)), weight=weight(), name="logits")

    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
        inputs=[ct.ImageType("image", shape=(1, 3, SIZE, SIZE), color_layout=ct.colorlayout.RGB)],
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
    )
    model.save(str(path))
    return path


def logits(path: Path) -> np.ndarray:
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        return np.asarray(runner.run(pixels(2))["logits"])


def product(weight: np.ndarray) -> np.ndarray:
    return pixels(2).transpose(0, 3, 1, 2).reshape(2, -1).astype(np.float64) @ weight.T.astype(np.float64)


def test_int4_blocks_are_read_packed_and_scaled_block_by_block(tmp_path: Path) -> None:
    integers = np.arange(4 * INPUTS).reshape(4, INPUTS) % 16 - 8
    scale = (1 + np.arange(4 * 6).reshape(4, 6) / 8).astype(np.float32)
    path = package(
        lambda: mb.constexpr_blockwise_shift_scale(data=narrow(integers, "int4"), scale=scale),
        tmp_path / "m.mlpackage",
    )
    weight = np.empty((4, INPUTS))
    for row in range(4):
        for column in range(INPUTS):
            weight[row, column] = integers[row, column] * scale[row, column // 32]
    np.testing.assert_allclose(logits(path), product(weight), rtol=1e-5)
    found = RUNTIME.contents(path).weight_bytes
    assert found["int4"] == 4 * INPUTS // 2


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_palettes_are_read_packed_and_looked_up_group_by_group(tmp_path: Path, bits: int) -> None:
    values = 2**bits
    indices = np.arange(4 * INPUTS).reshape(4, INPUTS) * 7 % values
    tables = np.linspace(-3, 5, 2 * values).reshape(2, values).astype(np.float32)
    path = package(
        lambda: mb.constexpr_lut_to_dense(
            indices=narrow(indices, f"uint{bits}"), lut=tables.reshape(2, 1, values, 1)
        ),
        tmp_path / "m.mlpackage",
    )
    weight = np.concatenate([tables[0][indices[:2]], tables[1][indices[2:]]])
    np.testing.assert_allclose(logits(path), product(weight), rtol=1e-5)
    assert RUNTIME.contents(path).weight_bytes[f"uint{bits}"] == 4 * INPUTS * bits // 8


@pytest.mark.parametrize(("name", "bits"), [("int4", 4), ("uint4", 4), ("uint6", 6)])
def test_the_blob_holds_the_bits_that_the_format_defines(tmp_path: Path, name: str, bits: int) -> None:
    """Least significant bit first, one number right behind the other, across bytes."""
    signed = name == "int4"
    integers = np.arange(4 * INPUTS).reshape(4, INPUTS) * 5 % 2**bits - (8 if signed else 0)

    def weight() -> Any:
        if signed:
            return mb.constexpr_blockwise_shift_scale(
                data=narrow(integers, name), scale=np.ones((4, 1), np.float32)
            )
        lut = np.zeros((1, 1, 2**bits, 1), np.float32)
        return mb.constexpr_lut_to_dense(indices=narrow(integers, name), lut=lut)

    path = package(weight, tmp_path / "m.mlpackage")
    number = sum((int(v) % 2**bits) << (bits * i) for i, v in enumerate(integers.ravel()))
    packed = number.to_bytes(4 * INPUTS * bits // 8, "little")
    assert packed in (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").read_bytes()
