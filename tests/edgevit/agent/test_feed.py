"""What the agent feeds a file is, bit for bit, what the runner of this computer feeds it, and what arithmetic says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgevit.agent.feed import Feed, as_int8, tensor
from edgevit.agent.opened import open_file
from edgevit.core.plugins import Runtime
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes.litert import RUNTIME as LITERT
from edgevit.runtimes.onnxruntime import RUNTIME as ONNX
from tests.edgevit.runtimes.litert import _tflite_files as files

BGR = Preprocess(4, 6, (4, 6), color="bgr", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 6, 3), np.uint8)


def onnx_file(path: Path, kind: int, layout: Literal["NCHW", "NHWC"], batch: int) -> Path:
    """Gives its input back."""
    shape = [batch, 3, 4, 6] if layout == "NCHW" else [batch, 4, 6, 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["out"])],
        "same",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("out", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgevit.preprocess", preprocess_json.dumps(BGR, layout)
    onnx.save(model, path)
    return path


def tflite_file(path: Path, kind: str, grid: files.QuantParams | None, takes_pixels: bool) -> Path:
    """Gives its input back in another shape."""
    b = files.Builder()
    image = b.tensor("image", [1, 4, 6, 3], kind, grid=grid)
    out = b.tensor("out", [1, 6, 4, 3], kind, grid=grid)
    shape = b.tensor("shape", [4], "INT32", np.array([1, 6, 4, 3], np.int32))
    b.add("RESHAPE", 1, [image, shape], [out])
    text = preprocess_json.dumps(BGR, "NHWC", takes_pixels=takes_pixels)
    b.note("edgevit.preprocess", text.encode())
    return b.save(path, [image], [out])


def normalised(layout: str) -> NDArray[np.float64]:
    """By arithmetic, in double precision."""
    values = (PIXELS[..., ::-1] / 255 - BGR.mean) / BGR.std
    return values.transpose(0, 3, 1, 2) if layout == "NCHW" else values


def through_both(runtime: Runtime, path: Path) -> tuple[NDArray[np.generic], Feed]:
    """What the file gives back for PIXELS, the same by the agent and by the runner."""
    assert runtime.on_device is not None
    told = runtime.on_device(path, RunOptions(threads=1))
    feed = Feed(**asdict(told.feed))
    opened = open_file(str(path), feed, threads=1)
    rows = []
    for start in range(0, len(PIXELS), feed.batch):
        some = PIXELS[start : start + feed.batch]
        opened.invoke(opened.prepare(some))
        rows.append(np.array(opened.outputs()[0])[: len(some)])
    found = np.concatenate(rows)
    with runtime.open(path, RunOptions(threads=1)) as runner:
        (here,) = runner.run(PIXELS).values()
    if (
        feed.dtype.startswith("float") or feed.takes_pixels
    ):  # a runner gives integers as the real numbers they mean
        assert here.dtype == found.dtype and here.tobytes() == found.tobytes()
    else:
        real = np.float32(feed.scale) * (found.astype(np.float32) - feed.zero_point)
        np.testing.assert_array_equal(here, real)
    return found, feed


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("kind", "bits"), [(TensorProto.FLOAT, 23), (TensorProto.FLOAT16, 10)])
def test_onnx_gets_normalised_images(
    kind: int, bits: int, layout: Literal["NCHW", "NHWC"], batch: int, tmp_path: Path
) -> None:
    found, feed = through_both(ONNX, onnx_file(tmp_path / "m.onnx", kind, layout, batch))
    assert feed.batch == batch and feed.bgr
    np.testing.assert_allclose(found, normalised(layout), rtol=2.0 ** -(bits - 1), atol=1e-6)


def test_onnx_that_takes_bytes_gets_the_bytes(tmp_path: Path) -> None:
    found, feed = through_both(ONNX, onnx_file(tmp_path / "m.onnx", TensorProto.UINT8, "NHWC", 4))
    assert feed.takes_pixels and found.dtype == np.uint8
    np.testing.assert_array_equal(found, PIXELS[..., ::-1])


def test_tflite_gets_normalised_images(tmp_path: Path) -> None:
    found, _ = through_both(LITERT, tflite_file(tmp_path / "m.tflite", "FLOAT32", None, False))
    np.testing.assert_allclose(found.reshape(6, 4, 6, 3), normalised("NHWC"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "less"), [("UINT8", 0), ("INT8", 128)])
def test_tflite_that_takes_bytes_gets_the_bytes(kind: str, less: int, tmp_path: Path) -> None:
    path = tflite_file(tmp_path / "m.tflite", kind, ([1 / 255], -less), True)
    told = LITERT.on_device(path, RunOptions(threads=1)) if LITERT.on_device else None
    assert told is not None and told.feed.takes_pixels
    opened = open_file(str(path), Feed(**asdict(told.feed)), threads=1)
    opened.invoke(opened.prepare(PIXELS[:1]))
    found = np.asarray(opened.outputs()[0]).reshape(4, 6, 3).astype(int)
    np.testing.assert_array_equal(found, PIXELS[0, ..., ::-1].astype(int) - less)


@pytest.mark.parametrize(("kind", "scale", "zero"), [("INT8", 0.02, 10), ("UINT8", 0.03, 120)])
def test_tflite_of_integers_gets_the_image_rounded_to_its_grid(
    kind: str, scale: float, zero: int, tmp_path: Path
) -> None:
    found, _ = through_both(LITERT, tflite_file(tmp_path / "m.tflite", kind, ([scale], zero), False))
    limits = np.iinfo(kind.lower())
    steps = np.rint(normalised("NHWC") / scale) + zero
    wanted = steps.clip(limits.min, limits.max)
    assert np.abs(found.reshape(6, 4, 6, 3).astype(int) - wanted).max() <= 1  # halves, in single precision
    assert np.mean(found.reshape(6, 4, 6, 3) == wanted) > 0.99


def test_what_is_missing_of_a_batch_is_the_last_image_again() -> None:
    feed = Feed("NHWC", False, (0.0,) * 3, (1.0,) * 3, "uint8", takes_pixels=True, batch=4)
    found = tensor(PIXELS[:2], feed)
    np.testing.assert_array_equal(found, PIXELS[[0, 1, 1, 1]])
    assert found.flags["C_CONTIGUOUS"]


def test_a_grey_image_has_one_channel() -> None:
    grey = PIXELS[..., :1]
    found = tensor(grey, Feed("NCHW", False, (0.5,), (0.25,)))
    np.testing.assert_allclose(found, (grey.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)


def test_bytes_as_int8_are_128_less() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(as_int8(every), np.arange(-128, 128))
