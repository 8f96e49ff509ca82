"""The LiteRT runtime on planted files whose results and integer work are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes.litert import RUNTIME
from edgevit.steps.inspect import ArtifactRequest, artifact
from tests.edgevit.runtimes.litert import _tflite_files as files

PREPROCESS = Preprocess(2, 2, (2, 2), mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
NOTES = {
    "edgevit.preprocess": preprocess_json.dumps(PREPROCESS, "NHWC").encode(),
    "edgevit.labels": b'["a", "b"]',
    "edgevit.license": b"MIT",
}
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


def _normalised(pixels: np.ndarray, color: str = "rgb") -> np.ndarray:
    real = pixels[..., ::-1] if color == "bgr" else pixels
    return (real / 255 - np.array(PREPROCESS.mean)) / np.array(PREPROCESS.std)


def test_static_int8_is_counted_with_the_operators_that_xnnpack_took(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(files.integer_linear(tmp_path / "m.tflite"))
    assert (found.static, found.dynamic, found.source, found.partitions) == (files.MACS, 0, "runtime", 1)
    assert found.operators == (("FULLY_CONNECTED int8 xnnpack", 1),)


def test_a_float_layer_in_disguise_is_not_integer(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(files.disguised_linear(tmp_path / "m.tflite"))
    assert (found.static + found.dynamic) / files.MACS < 0.05
    assert found.operators == (("FULLY_CONNECTED float32 xnnpack", 1),)


def test_weights_in_int8_under_a_float_input_are_dynamic(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(files.dynamic_linear(tmp_path / "m.tflite"))
    assert (found.static, found.dynamic) == (0, files.MACS)


def test_a_float_matrix_product_counts_nothing(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(files.matrix_product(tmp_path / "m.tflite"))
    assert (found.static, found.dynamic) == (0, 0)
    assert found.operators[0][0].startswith("BATCH_MATMUL float32")


def test_run_normalises_by_the_files_own_metadata(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        found = runner.run(PIXELS)
    assert list(found) == ["logits"] and found["logits"].shape == (2, 12)
    np.testing.assert_allclose(
        found["logits"], (2 * _normalised(PIXELS) + 1).reshape(2, 12), rtol=1e-5, atol=1e-6
    )


def test_a_file_that_wants_bgr_gets_bgr(tmp_path: Path) -> None:
    bgr = Preprocess(2, 2, (2, 2), color="bgr", mean=PREPROCESS.mean, std=PREPROCESS.std)
    path = files.image_model(
        tmp_path / "m.tflite", {"edgevit.preprocess": preprocess_json.dumps(bgr, "NHWC").encode()}
    )
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        found = runner.run(PIXELS)["logits"]
    np.testing.assert_allclose(
        found, (2 * _normalised(PIXELS, "bgr") + 1).reshape(2, 12), rtol=1e-5, atol=1e-6
    )


def test_taps_give_inner_tensors_and_the_input_without_changing_the_result(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    with RUNTIME.open(path, RunOptions(threads=1, taps=("scaled", "image"))) as runner:
        found = runner.run(PIXELS)
    np.testing.assert_allclose(found["image"], _normalised(PIXELS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["scaled"], 2 * found["image"], rtol=1e-6)
    np.testing.assert_allclose(found["logits"], (found["scaled"] + 1).reshape(2, 12), rtol=1e-6)


def test_a_tap_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    with pytest.raises(UsageError, match="nothing like it"):
        RUNTIME.open(path, RunOptions(taps=("nothing like it",)))


def test_prepare_and_invoke_execute_once(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        prepared = runner.prepare(PIXELS[:1])
        runner.invoke(prepared)
    np.testing.assert_allclose(np.asarray(prepared), _normalised(PIXELS[:1]), rtol=1e-5, atol=1e-6)


def test_a_file_without_preprocessing_takes_it_from_the_options(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", {})
    with pytest.raises(InputError, match="does not say how"):
        RUNTIME.open(path, RunOptions())
    with RUNTIME.open(path, RunOptions(threads=1, preprocess=PREPROCESS)) as runner:
        assert runner.run(PIXELS)["logits"].shape == (2, 12)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    with (
        RUNTIME.open(path, RunOptions()) as runner,
        pytest.raises(InputError, match="got uint8 .1, 3, 2, 3."),
    ):
        runner.run(np.zeros((1, 3, 2, 3), np.uint8))
    wrong = Preprocess(4, 4, (4, 4))
    path = files.image_model(
        tmp_path / "m.tflite", {"edgevit.preprocess": preprocess_json.dumps(wrong, "NHWC").encode()}
    )
    with pytest.raises(InputError, match="2x2 images.*4x4"):
        RUNTIME.open(path, RunOptions())


def test_contents_are_read_back_from_the_file(tmp_path: Path) -> None:
    found = RUNTIME.contents(files.image_model(tmp_path / "m.tflite", NOTES))
    assert found.preprocess == PREPROCESS and found.labels == ("a", "b")
    assert found.weight_bytes == {"float32": 8, "int32": 8}
    assert dict(found.operators) == {"MUL": 1, "ADD": 1, "RESHAPE": 1}
    assert found.max_rank == 4 and found.metadata == {"edgevit.license": "MIT"}
    assert [t.name for t in (*found.inputs, *found.outputs)] == ["image", "logits"]


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "labels"])
def test_damaged_files_are_input_errors_that_name_them(tmp_path: Path, damage: str) -> None:
    path = files.image_model(
        tmp_path / "m.tflite", NOTES | ({"edgevit.labels": b"[1"} if damage == "labels" else {})
    )
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("not a model at all")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="m.tflite"):
        RUNTIME.contents(path)
    if damage != "labels":
        with pytest.raises(InputError, match="m.tflite"):
            RUNTIME.open(path, RunOptions())


def test_the_runtime_says_what_it_is() -> None:
    assert RUNTIME.unavailable() is None
    assert RUNTIME.label().startswith("litert 2.") and RUNTIME.label().endswith(" xnnpack")


def foreign(path: Path) -> Path:
    """A file with two select TensorFlow operators, a custom one, and one of TFLite's own between them."""
    made = files.Builder()
    tensors = [made.tensor(name, [1, 2, 2, 3]) for name in ("image", "a/erf", "a/tanh", "b/erf", "logits")]
    made.custom("FlexErf", tensors[:1], tensors[1:2])
    made.add("TANH", 1, tensors[1:2], tensors[2:3])
    made.custom("FlexErf", tensors[2:3], tensors[3:4])
    made.custom("AcmeAttention", tensors[3:4], tensors[4:5])
    for name, data in NOTES.items():
        made.note(name, data)
    return made.save(path, tensors[:1], tensors[4:5])


def test_select_and_custom_operators_are_named_as_such(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.tflite")
    named = (
        "it holds FlexErf, a select TensorFlow operator, 2 times, the first making 'a/erf'; "
        "AcmeAttention, a custom operator, making 'logits'"
    )
    for execute in (lambda: RUNTIME.open(path, RunOptions()), lambda: RUNTIME.integer_macs(path)):
        with pytest.raises(UnsupportedError, match="LiteRT here cannot execute") as caught:
            execute()
        assert caught.value.message.endswith(named) and "litert-select-tf-ops" in caught.value.hint
    found = artifact(ArtifactRequest(str(path)), lambda event: None)
    assert found.operators == {"FlexErf": 2, "TANH": 1, "AcmeAttention": 1}
    assert found.labels == ("a", "b") and found.integer_macs is None
    assert found.warnings[0].endswith(named)


def test_a_damaged_file_is_not_blamed_on_its_operators(tmp_path: Path) -> None:
    """TFLite's own operator with too many inputs: LiteRT refuses it, and no operator is missing."""
    made = files.Builder()
    image, other = made.tensor("image", [1, 2, 2, 3]), made.tensor("logits", [1, 2, 2, 3])
    made.add("TANH", 1, [image, image], [other])
    with pytest.raises(InputError, match="LiteRT cannot load"):
        RUNTIME.integer_macs(made.save(tmp_path / "m.tflite", [image], [other]))
