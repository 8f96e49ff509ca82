"""Files of other tools that take and give integers: their own scales and zero points are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite

from edgevit.core.errors import InputError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes.litert import RUNTIME
from tests.edgevit.runtimes.litert import _tflite_files as files

PREPROCESS = Preprocess(2, 2, (2, 2), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PIXELS = np.array([0, 10, 64, 100, 127, 128, 160, 200, 230, 240, 250, 255], np.uint8).reshape(1, 2, 2, 3)
TAKES = ([0.02], 10)
GIVES = ([0.05], -3)


def _file(path: Path, dtype: str, grid: files.QuantParams | None = TAKES, **notes: bytes) -> Path:
    """(1, 2, 2, 3) integers to (1, 12) on another grid: QUANTIZE and RESHAPE."""
    b = files.Builder()
    image = b.tensor("image", [1, 2, 2, 3], dtype, grid=grid)
    other = b.tensor("other", [1, 2, 2, 3], "INT8", grid=GIVES)
    logits = b.tensor("logits", [1, 12], "INT8", grid=GIVES)
    shape = b.tensor("shape", [2], "INT32", np.array([1, 12], np.int32))
    b.add("QUANTIZE", 2, [image], [other])
    b.add("RESHAPE", 1, [other, shape], [logits], tflite.ReshapeOptionsT())
    for name, data in notes.items():
        b.note(name.replace("_", "."), data)
    return b.save(path, [image], [logits])


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "low", "high"),
    [("int8", 0.02, 10, -128, 127), ("int16", 2 / 32767, 0, -32768, 32767)],
)
def test_the_normalised_image_is_rounded_to_the_files_own_grid(
    tmp_path: Path, dtype: str, scale: float, zero: int, low: int, high: int
) -> None:
    path = _file(tmp_path / "m.tflite", dtype.upper(), ([scale], zero))
    options = RunOptions(threads=1, preprocess=PREPROCESS, taps=("image",))
    with RUNTIME.open(path, options) as runner:
        found = runner.run(PIXELS)
    real = ((PIXELS / 255 - 0.5) / 0.25).astype(np.float32)
    steps = np.clip(np.rint(real / np.float32(scale)) + zero, low, high)
    assert found["image"].dtype == dtype and np.array_equal(found["image"], steps)
    assert found["logits"].dtype == np.float32
    np.testing.assert_allclose(found["logits"], (scale * (steps - zero)).reshape(1, 12), atol=0.0251)


def test_a_tapped_output_comes_as_it_stands_in_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.tflite", "INT8")
    with RUNTIME.open(path, RunOptions(threads=1, preprocess=PREPROCESS, taps=("logits",))) as runner:
        steps = runner.run(PIXELS)["logits"]
    with RUNTIME.open(path, RunOptions(threads=1, preprocess=PREPROCESS)) as runner:
        real = runner.run(PIXELS)["logits"]
    assert steps.dtype == np.int8
    np.testing.assert_allclose(real, 0.05 * (steps.astype(int) + 3), rtol=1e-6)


def test_a_uint8_file_is_fed_through_its_scale_and_zero_point(tmp_path: Path) -> None:
    """With 1 / (255 * std) and 255 * mean they are the camera's bytes, whoever wrote the file."""
    path = _file(tmp_path / "m.tflite", "UINT8", ([1 / (255 * 0.4)], 51))
    own = Preprocess(2, 2, (2, 2), mean=(0.2,) * 3, std=(0.4,) * 3)
    with RUNTIME.open(path, RunOptions(threads=1, preprocess=own)) as runner:
        assert np.array_equal(np.asarray(runner.prepare(PIXELS)), PIXELS)


def test_a_file_that_says_so_gets_the_bytes_whatever_its_scale(tmp_path: Path) -> None:
    text = preprocess_json.dumps(PREPROCESS, "NHWC", takes_pixels=True).encode()
    path = _file(tmp_path / "m.tflite", "INT8", edgevit_preprocess=text)
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        assert np.array_equal(np.asarray(runner.prepare(PIXELS)), PIXELS.astype(int) - 128)


def test_scale_and_zero_point_are_told(tmp_path: Path) -> None:
    contents = RUNTIME.contents(_file(tmp_path / "m.tflite", "INT8"))
    (entry,), (leave,) = contents.inputs, contents.outputs
    assert (entry.dtype, entry.scale, entry.zero_point) == ("int8", pytest.approx(0.02), 10)
    assert (leave.dtype, leave.scale, leave.zero_point) == ("int8", pytest.approx(0.05), -3)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_integers_that_stand_for_nothing_are_refused(tmp_path: Path, dtype: str) -> None:
    path = _file(tmp_path / "m.tflite", dtype.upper(), None)
    with pytest.raises(InputError, match=f"{dtype} without one scale and zero point"):
        RUNTIME.open(path, RunOptions(preprocess=PREPROCESS))


@pytest.mark.parametrize("dtype", ["INT16", "FLOAT32"])
def test_an_input_that_says_it_takes_bytes_and_is_of_another_type_is_refused(
    tmp_path: Path, dtype: str
) -> None:
    text = preprocess_json.dumps(PREPROCESS, "NHWC", takes_pixels=True).encode()
    path = _file(tmp_path / "m.tflite", dtype, edgevit_preprocess=text)
    with pytest.raises(InputError, match=f"takes the bytes of an image, but its input is {dtype.lower()}"):
        RUNTIME.open(path, RunOptions())


def test_integers_that_no_image_is_rounded_to_are_refused(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.tflite", "INT32")
    with pytest.raises(InputError, match="as float32, uint8, int8 or int16, it takes int32"):
        RUNTIME.open(path, RunOptions(preprocess=PREPROCESS))
