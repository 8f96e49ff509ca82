"""Files that are quantized by ONNX Runtime's own recipe for Qualcomm's NPU, executed on the emulator of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from converters.onnx import TARGET as onnx_target
from edgevit.core.errors import InputError, RefusedError, UsageError
from edgevit.core.runner import RunOptions
from edgevit.runtimes import onnxruntime as on_cpu
from edgevit.runtimes import qnn
from edgevit.runtimes._qnn import host
from edgevit.runtimes._qnn.context import compile_context
from tests._sqnr import sqnr
from tests.edgevit.runtimes.qnn._quantized import CLASSES, DIM, PATCH, TOKENS, feed, images, quantized

REASON = qnn.RUNTIME.unavailable()
PROJECTIONS, SECOND = 4 * DIM * DIM * TOKENS, 2 * TOKENS * TOKENS * DIM
MACS = DIM * 3 * PATCH**2 * TOKENS + PROJECTIONS + SECOND + DIM * CLASSES

here = pytest.mark.skipif(REASON is not None, reason=f"HTP is not executed here: {REASON}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qnn")


@pytest.fixture(scope="module")
def w8a8(folder: Path) -> Path:
    return quantized(folder, 8)


def real(folder: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the float model gives for each image."""
    session = onnxruntime.InferenceSession(folder / "float.onnx", providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": values[None]})[0] for values in feed(pixels)])


def test_it_is_executed_wherever_its_wheel_installs() -> None:
    assert REASON is None or "this is" in REASON or "this system has" in REASON


@pytest.mark.parametrize(
    ("system", "machine", "libc", "said"),
    [
        ("darwin", "arm64", "", "this is darwin on arm64"),
        ("linux", "riscv64", "glibc 2.39", "this is linux on riscv64"),
        ("linux", "x86_64", "glibc 2.31", "glibc 2.35 or newer, this system has glibc 2.31"),
        ("linux", "x86_64", "", "glibc 2.35 or newer, this system has another one"),
    ],
)
def test_why_it_is_not_executed_elsewhere(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str, said: str
) -> None:
    monkeypatch.setattr(host.sys, "platform", system)
    monkeypatch.setattr(host.platform, "machine", lambda: machine)
    monkeypatch.setattr(host, "_libc", lambda: libc)
    reason = qnn.RUNTIME.unavailable()
    assert reason is not None and reason.endswith(said)


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.sys, "platform", "linux")
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(host, "_libc", lambda: "glibc 2.35")
    monkeypatch.setattr(host, "PACKAGE", "onnxruntime_qnn_that_nobody_installed")
    assert qnn.RUNTIME.unavailable() == (
        "the Python package onnxruntime_qnn_that_nobody_installed is not installed"
    )


@here
@pytest.mark.parametrize(("bits", "near_float", "near_cpu"), [(8, 30.0, 30.0), (16, 35.0, 35.0)])
def test_htp_executes_what_the_cpu_executes(
    folder: Path, bits: int, near_float: float, near_cpu: float
) -> None:
    """The oracle is the same file on ONNX Runtime's CPU provider; 16 bits are held back by the recipe's weights."""
    path, pixels = quantized(folder, bits), images(4)
    with qnn.RUNTIME.open(path, RunOptions()) as runner:
        found = runner.run(pixels)["logits"]
    with on_cpu.RUNTIME.open(path, RunOptions(threads=1)) as runner:
        wanted = runner.run(pixels)["logits"]
    assert found.shape == (4, CLASSES) and found.dtype == np.float32
    assert sqnr(real(folder, pixels), found) > near_float and sqnr(wanted, found) > near_cpu
    counted = qnn.RUNTIME.integer_macs(path)
    assert (counted.static, counted.dynamic, counted.source) == (MACS, 0, "runtime")
    assert counted.static_by_bits == ((bits, MACS),)
    assert not [name for name, _ in counted.operators if name.endswith(" float")]


@here
def test_reading_inner_tensors_changes_nothing(w8a8: Path) -> None:
    """Among them a transposed tensor, which HTP fuses into the product behind it."""
    values, pixels = qnn.RUNTIME.values(w8a8), images(2)
    with qnn.RUNTIME.open(w8a8, RunOptions()) as runner:
        plain = runner.run(pixels)
    with qnn.RUNTIME.open(w8a8, RunOptions(taps=tuple(value.tap for value in values))) as runner:
        tapped = runner.run(pixels)
    assert np.array_equal(plain["logits"], tapped["logits"])
    assert len(values) == 17 and all(tapped[value.tap].dtype == np.uint8 for value in values)
    first = values[0]
    rounded = first.scale * (tapped[first.tap].astype(np.float32) - first.zero_point)
    assert np.abs(rounded - feed(pixels)).max() < 1.01 * first.scale
    transposed, straight = tapped["kt_QuantizeLinear_Output"], tapped["k_QuantizeLinear_Output"]
    assert np.array_equal(transposed, straight.transpose(0, 2, 1))


@here
def test_the_architecture_is_the_files_own(w8a8: Path, tmp_path: Path) -> None:
    model = onnx.load(w8a8)
    model.metadata_props.add(key="edgevit.htp_arch", value="v73")
    onnx.save(model, tmp_path / "v73.onnx")
    assert qnn.RUNTIME.executed_by(w8a8) == f"qnn {host.version()} htp v75 (emulated)"
    assert qnn.RUNTIME.executed_by(tmp_path / "v73.onnx") == f"qnn {host.version()} htp v73 (emulated)"
    with pytest.raises(UsageError, match="no HTP architecture is called 'v80'") as caught:
        qnn.RUNTIME.open(w8a8, RunOptions(architecture="v80"))
    assert "v68, v69, v73, v75, v79, v81" in caught.value.hint


@here
def test_an_operator_that_htp_refuses_is_named_with_its_module(folder: Path) -> None:
    path = quantized(folder, 8, "Erf")
    with pytest.raises(RefusedError) as caught:
        qnn.RUNTIME.open(path, RunOptions())
    assert caught.value.message.endswith(
        "w8a8Erf.onnx as a whole, it refuses 1 operator: "
        "Erf of blocks.0.act: Operators of type `Erf` are not supported by QNN EP"
    )
    (found,) = caught.value.findings
    assert (found.backend, found.name, found.module) == ("qnn-v75", "blocks.0.act/op", "blocks.0.act")


@here
@pytest.mark.parametrize(("kind", "takes", "gives"), [("Softmax", "l", "a"), ("Gelu", "h", "e")])
def test_float_operators_are_counted_or_found(
    w8a8: Path, tmp_path: Path, kind: str, takes: str, gives: str
) -> None:
    """Without the markers about it, HTP computes the softmax in float, and validates the GELU but compiles it not."""
    model = onnx.load(w8a8)
    node = next(node for node in model.graph.node if node.op_type == kind)
    node.input[0] = takes
    for other in model.graph.node:
        other.input[:] = [
            gives if name == f"{gives}_DequantizeLinear_Output" else name for name in other.input
        ]
    onnx.save(model, tmp_path / "file.onnx")
    if kind == "Softmax":
        counted = qnn.RUNTIME.integer_macs(tmp_path / "file.onnx")
        assert ("Softmax float", 1) in counted.operators and counted.static < MACS
    else:
        with pytest.raises(RefusedError) as caught:
            qnn.RUNTIME.integer_macs(tmp_path / "file.onnx")
        assert [found.operator for found in caught.value.findings] == ["Gelu"]


@here
def test_a_file_that_is_no_model_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(InputError, match=r"text\.onnx is not an ONNX model"):
        qnn.RUNTIME.open(tmp_path / "text.onnx", RunOptions())


@here
def test_what_is_compiled_ahead_gives_the_same(w8a8: Path, tmp_path: Path) -> None:
    made = compile_context(w8a8, tmp_path / "compiled.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["compiled.onnx"]
    assert [node.op_type for node in onnx.load(made).graph.node] == ["EPContext"]
    with qnn.RUNTIME.open(made, RunOptions()) as runner:
        found = runner.run(images(2))["logits"]
    with qnn.RUNTIME.open(w8a8, RunOptions()) as runner:
        assert np.array_equal(found, runner.run(images(2))["logits"])


def test_the_architecture_is_an_option_of_files_for_the_npu() -> None:
    options = {"backend": "qnn", "htp_arch": "v73"}
    onnx_target.check_options(options)
    with pytest.raises(UsageError, match="no HTP architecture is called 'v74'"):
        onnx_target.check_options({**options, "htp_arch": "v74"})
    with pytest.raises(UsageError, match="goes with onnx.backend=qnn alone"):
        onnx_target.check_options({"htp_arch": "v73"})
