"""ONNX Runtime as a runner, and the count of what it really does in integers, on hand-made files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent import opened
from edgevit.core.errors import InputError, StepError, UnsupportedError, UsageError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes._onnxruntime import session
from edgevit.runtimes.onnxruntime import RUNTIME

PREPROCESS = Preprocess(4, 6, (4, 6), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.2))
K, N = 32, 48


def _save(
    path: Path, nodes: list, constants: dict, given: list, made: list, metadata: dict[str, str] | None = None
) -> Path:
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, made)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def _grid(stem: str, scale: float = 0.05) -> dict[str, np.generic]:
    return {f"{stem}.s": np.float32(scale), f"{stem}.z": np.uint8(128)}


def _weight(shape: tuple[int, ...], channels: int) -> dict[str, np.ndarray]:
    integers = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    return {"w": integers, "w.s": np.full(channels, 0.01, np.float32), "w.z": np.zeros(channels, np.int8)}


def _pair(stem: str, name: str) -> list:
    """QuantizeLinear and DequantizeLinear of `name`, to `stem`."""
    return [
        helper.make_node("QuantizeLinear", [name, f"{stem}.s", f"{stem}.z"], [f"{stem}.q"]),
        helper.make_node("DequantizeLinear", [f"{stem}.q", f"{stem}.s", f"{stem}.z"], [stem]),
    ]


def _matmul(path: Path, bias: list[int]) -> Path:
    """QDQ around the inputs of MatMul, then Add, on rank 2; `bias` is the shape of the bias."""
    nodes = [
        *_pair("x", "image"),
        helper.make_node("DequantizeLinear", ["w", "w.s", "w.z"], ["wf"], axis=1),
        helper.make_node("MatMul", ["x", "wf"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logits"]),
    ]
    constants = _grid("x") | _weight((K, N), N) | {"b": np.ones(bias, np.float32)}
    return _save(path, nodes, constants, [5, K], [*[1] * (len(bias) - 2), 5, N])


def _conv(path: Path, quantized_output: bool) -> Path:
    nodes = [
        *_pair("x", "image"),
        helper.make_node("DequantizeLinear", ["w", "w.s", "w.z"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b.s", "b.z"], ["bf"], axis=0),
        helper.make_node("Conv", ["x", "wf", "bf"], ["y" if quantized_output else "logits"], group=2),
    ]
    if quantized_output:
        nodes += _pair("out", "y")
        nodes[-1].output[0] = "logits"
    constants = _grid("x") | _weight((8, 2, 3, 3), 8) | _grid("out", 0.1)
    constants |= {
        "b": np.arange(8, dtype=np.int32),
        "b.s": np.full(8, 0.0005, np.float32),
        "b.z": np.zeros(8, np.int32),
    }
    return _save(path, nodes, constants, [1, 4, 10, 12], [1, 8, 8, 10])


def test_matmul_and_add_that_become_a_float_gemm_do_not_count(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(_matmul(tmp_path / "m.onnx", [N]))
    assert dict(found.operators)["Gemm"] == 1
    assert (found.static + found.dynamic) / (5 * K * N) < 0.05


def test_the_same_product_with_a_bias_of_rank_3_counts_fully(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(_matmul(tmp_path / "m.onnx", [1, 1, N]))
    assert (found.static, found.dynamic, found.source) == (5 * K * N, 0, "runtime")
    assert dict(found.operators)["MatMulIntegerToFloat"] == 1


def test_a_convolution_with_float_output_does_not_count(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(_conv(tmp_path / "m.onnx", quantized_output=False))
    assert (found.static + found.dynamic) / (8 * 8 * 10 * 2 * 9) < 0.05


def test_a_grouped_convolution_with_quantized_output_counts_fully(tmp_path: Path) -> None:
    found = RUNTIME.integer_macs(_conv(tmp_path / "m.onnx", quantized_output=True))
    assert found.static == 8 * 8 * 10 * 2 * 9  # channels, height, width, inputs per group, kernel
    assert dict(found.operators)["QLinearConv"] == 1


def test_run_time_ranges_count_as_dynamic(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "w.s"], ["both"]),
        helper.make_node("Mul", ["real", "both"], ["logits"]),
    ]
    constants = {**_weight((K, N), N), "zero": np.int8(0)}
    found = RUNTIME.integer_macs(_save(tmp_path / "m.onnx", nodes, constants, [5, K], [5, N]))
    assert (found.static, found.dynamic) == (0, 5 * K * N)


def test_int8_weights_behind_dequantizelinear_count_as_dynamic(tmp_path: Path) -> None:
    """ONNX Runtime makes MatMulNBits of it, which rounds the activations."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "w.s", "w.z"], ["real"], axis=1),
        helper.make_node("MatMul", ["image", "real"], ["logits"]),
    ]
    found = RUNTIME.integer_macs(_save(tmp_path / "m.onnx", nodes, _weight((K, N), N), [5, K], [5, N]))
    assert dict(found.operators)["MatMulNBits"] == 1
    assert (found.static, found.dynamic) == (0, 5 * K * N)


def test_float_products_of_activations_do_not_count(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["image", "t"], ["logits"]),
    ]
    found = RUNTIME.integer_macs(_save(tmp_path / "m.onnx", nodes, {}, [5, K], [5, 5]))
    assert (found.static, found.dynamic) == (0, 0)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "flags : sse avx2", True),
        ("AMD64", "", True),
        ("x86_64", "flags : avx2 avx512f avx512_vnni", False),
        ("x86_64", "flags : avx2 avx_vnni", False),
        ("x86_64", "flags : avx2 avx512_vnnix", True),
        ("aarch64", "Features : asimd", False),
        ("arm64", "", False),
    ],
)
def test_only_x86_without_vnni_needs_exact_sums(machine: str, flags: str, expected: bool) -> None:
    assert opened.saturates(machine, flags) is expected


@pytest.mark.parametrize("needed", [True, False])
def test_label_and_session_say_when_sums_are_kept_exact(
    needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "exact_sums_needed", lambda: needed)
    assert RUNTIME.label().endswith("cpu x64quantprecision=1" if needed else " cpu")
    options = session.session_options(1)
    if needed:
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry("session.x64quantprecision")


def test_weights_in_a_file_beside_the_model_are_counted_too(tmp_path: Path) -> None:
    """torch.onnx.export writes them so by itself; the optimized graph lies in another folder."""
    whole = _matmul(tmp_path / "whole.onnx", [1, 1, N])
    split = tmp_path / "split.onnx"
    onnx.save(
        onnx.load(whole), split, save_as_external_data=True, location="split.onnx.data", size_threshold=0
    )
    assert (tmp_path / "split.onnx.data").exists()
    assert RUNTIME.integer_macs(split) == RUNTIME.integer_macs(whole)
    assert RUNTIME.integer_macs(split).static == 5 * K * N


def _pass_through(path: Path, preprocess: Preprocess | None, labels: str = '["a", "b"]') -> Path:
    """A model that gives its input back, through one tensor that can be tapped."""
    nodes = [helper.make_node("Neg", ["image"], ["inner"]), helper.make_node("Neg", ["inner"], ["logits"])]
    metadata = {"edgevit.labels": labels, "author": "A"}
    if preprocess is not None:
        metadata["edgevit.preprocess"] = preprocess_json.dumps(preprocess, "NCHW")
    return _save(path, nodes, {}, [1, 3, 4, 6], [1, 3, 4, 6], metadata)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_pixels_are_normalised_as_the_file_says(color: str, tmp_path: Path) -> None:
    preprocess = Preprocess(4, 6, (4, 6), color=color, mean=PREPROCESS.mean, std=PREPROCESS.std)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    with RUNTIME.open(_pass_through(tmp_path / "m.onnx", preprocess), RunOptions(threads=1)) as runner:
        found = runner.run(pixels)["logits"]
    assert found.shape == (3, 3, 4, 6) and found.dtype == np.float32
    for channel in range(3):  # by hand: channel `channel` of the model is this one of the image
        source = channel if color == "rgb" else 2 - channel
        wanted = (pixels[..., source] / 255 - PREPROCESS.mean[channel]) / PREPROCESS.std[channel]
        np.testing.assert_allclose(found[:, channel], wanted, rtol=1e-5, atol=1e-6)


def test_taps_return_inner_tensors_and_the_input(tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "m.onnx", PREPROCESS)
    before = path.read_bytes()
    pixels = np.zeros((2, 4, 6, 3), np.uint8)
    with RUNTIME.open(path, RunOptions(threads=1, taps=("inner", "image", "inner"))) as runner:
        found = runner.run(pixels)
    assert set(found) == {"logits", "inner", "image"}
    np.testing.assert_array_equal(found["inner"], -found["image"])
    assert path.read_bytes() == before


def test_an_unknown_tap_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        RUNTIME.open(_pass_through(tmp_path / "m.onnx", PREPROCESS), RunOptions(taps=("nowhere",)))


def test_preprocessing_can_be_given_for_a_file_without_its_own(tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "m.onnx", None)
    with pytest.raises(InputError, match="does not say"):
        RUNTIME.open(path, RunOptions())
    with RUNTIME.open(path, RunOptions(preprocess=PREPROCESS)) as runner:
        assert runner.run(np.zeros((1, 4, 6, 3), np.uint8))["logits"].shape == (1, 3, 4, 6)


def test_prepared_input_can_be_invoked(tmp_path: Path) -> None:
    with RUNTIME.open(_pass_through(tmp_path / "m.onnx", PREPROCESS), RunOptions(threads=1)) as runner:
        pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), np.uint8)
        prepared = runner.prepare(pixels)
        assert isinstance(prepared, dict) and list(prepared) == ["image"]
        # Normalised already, so that a measured time holds the network alone; the file passes its input through.
        np.testing.assert_array_equal(prepared["image"], runner.run(pixels)["logits"])
        runner.invoke(prepared)
        with pytest.raises(StepError, match="image"):
            runner.invoke({"nowhere": prepared["image"]})


@pytest.mark.parametrize("shape", [(1, 6, 4, 3), (1, 4, 6), (2, 4, 6, 3)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with (
        RUNTIME.open(_pass_through(tmp_path / "m.onnx", PREPROCESS), RunOptions()) as runner,
        pytest.raises(InputError, match="takes images"),
    ):
        runner.prepare(np.zeros(shape, np.uint8))


def test_metadata_for_another_size_than_the_models_is_refused(tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "m.onnx", Preprocess(8, 6, (8, 6)))
    with pytest.raises(InputError, match="8x6"):
        RUNTIME.open(path, RunOptions())


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a" * 50, "truncated"])
@pytest.mark.parametrize("action", ["open", "taps", "integer_macs", "contents"])
def test_a_malformed_file_is_one_clear_error(content: bytes | str, action: str, tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "bad.onnx", PREPROCESS)
    path.write_bytes(path.read_bytes()[:90] if isinstance(content, str) else content)
    actions = {
        "open": lambda: RUNTIME.open(path, RunOptions()),
        "taps": lambda: RUNTIME.open(path, RunOptions(taps=("inner",))),
        "integer_macs": lambda: RUNTIME.integer_macs(path),
        "contents": lambda: RUNTIME.contents(path),
    }
    with pytest.raises(InputError, match="bad.onnx"):
        actions[action]()


def test_a_name_that_is_no_text_is_an_input_error(tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "bad.onnx", PREPROCESS)
    path.write_bytes(path.read_bytes().replace(b"logits", b"log\xffts"))
    for read in (RUNTIME.contents, RUNTIME.values):
        assert read is not None
        with pytest.raises(InputError, match="bad.onnx is damaged: a name in it is not valid Unicode"):
            read(path)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        RUNTIME.open(tmp_path / "none.onnx", RunOptions())


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    path = _pass_through(tmp_path / "m.onnx", PREPROCESS)
    model = onnx.load(path)
    model.graph.node[0].op_type = "Unheard"
    model.graph.node[0].domain = "somewhere"
    model.opset_import.append(helper.make_opsetid("somewhere", 1))
    onnx.save(model, path)
    with pytest.raises((InputError, UnsupportedError), match="Unheard"):
        RUNTIME.open(path, RunOptions())


def test_contents_are_read_back(tmp_path: Path) -> None:
    found = RUNTIME.contents(_pass_through(tmp_path / "m.onnx", PREPROCESS, json.dumps(["Katze", "犬"])))
    assert found.preprocess == PREPROCESS and found.labels == ("Katze", "犬")
    assert found.operators == (("Neg", 2),) and found.max_rank == 4 and found.weight_bytes == {}
    assert found.inputs[0].shape == (1, 3, 4, 6) and found.inputs[0].dtype == "float32"
    assert found.metadata["author"] == "A" and found.metadata["opset.ai.onnx"] == "20"


def test_bytes_of_constants_are_told_by_type(tmp_path: Path) -> None:
    found = RUNTIME.contents(_matmul(tmp_path / "m.onnx", [N]))
    assert found.weight_bytes == {"int8": K * N + N, "float32": 4 * (N + N + 1), "uint8": 1}


@pytest.mark.parametrize("labels", ["not json", '{"a": 1}', "[1, 2]"])
def test_malformed_labels_are_one_clear_error(labels: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels"):
        RUNTIME.contents(_pass_through(tmp_path / "m.onnx", PREPROCESS, labels))
