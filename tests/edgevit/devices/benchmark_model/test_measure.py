"""From a phone without Python and back, by the stand-in for benchmark_model in `tests/_benchmark_model.py`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.testing import assert_array_equal

from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceError, DeviceLostError, InputError, UnsupportedError
from edgevit.core.place import Place
from edgevit.core.types import TensorSpec
from edgevit.devices._android import open_place
from edgevit.devices._benchmark_model import blocks
from edgevit.devices._benchmark_model.measure import measure
from edgevit.devices._benchmark_model.types import ToolFile, ToolSettings
from tests import _benchmark_model
from tests._phone import THERMAL, Phone, Server, phone
from tests.edgevit.runtimes.litert import _tflite_files as files

QUICK = ToolSettings(blocks=2, runs=3, seconds=0.0, warm_up=0.0, timeout=60.0)
FIXED = "power set-fixed-performance-mode-enabled"


@pytest.fixture
def device(tmp_path: Path, adb: Server) -> Iterator[Phone]:
    with phone(tmp_path / "phone", adb) as device:
        yield device


@pytest.fixture
def place(device: Phone) -> Iterator[Place]:
    with open_place("adb") as place:
        yield place


@pytest.fixture
def linear(tmp_path: Path) -> ToolFile:
    """QUANTIZE, FULLY_CONNECTED, DEQUANTIZE, and an input."""
    content = np.random.default_rng(1).normal(size=(files.ROWS, files.IN)).astype(np.float32)
    (tmp_path / "input.bin").write_bytes(content.tobytes())
    path = files.integer_linear(tmp_path / "it's a model.tflite")
    outputs = (TensorSpec("y", (files.ROWS, files.OUT), "float32"),)
    return ToolFile(path, tmp_path / "input.bin", (files.ROWS, files.IN), outputs)


def asked(device: Phone) -> list[str]:
    """What Android's `cmd` was told."""
    log = device.state / "cmd"
    return log.read_text().splitlines() if log.exists() else []


def test_two_files_on_a_phone_without_python(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    other = ToolFile(files.image_model(tmp_path / "other.tflite", {}), None, (1, 2, 2, 3), ())
    run = measure(place, tool, [linear, other], QUICK)
    assert (run.tool.sha256, run.tool.kind) == (sha256_of(tool), "interpreter")
    assert run.fingerprint.model == "Example Double 1 (Example EX1234)" and run.refused == ()
    for timed in run.timed:
        assert len(timed.blocks) == 2 and timed.dropped == ()
        for block in timed.blocks:
            assert block.times.runs == 3 and block.disturbed == ()
            assert block.before.celsius["CPU0"] == 41.25
    computed, unasked = run.inside
    interpreter = Interpreter(str(linear.path))
    interpreter.allocate_tensors()
    assert linear.input is not None and computed.outputs is not None and computed.operators is not None
    given = np.frombuffer(linear.input.read_bytes(), np.float32).reshape(linear.shape)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert_array_equal(computed.outputs[0], expected)
    assert [(op.type, op.name, op.ms) for op in computed.operators.operators] == [
        ("QUANTIZE", "x/int8", 0.1),
        ("FULLY_CONNECTED", "y/int8", 0.2),
        ("DEQUANTIZE", "y", 0.3),
    ]
    assert computed.peak_mb == 12.5 and computed.remarks == ()
    assert unasked.outputs is None and unasked.remarks == (), "there was no input for it"
    began = [
        command for command in device.commands if "--min_secs=0.0" in command and "profiling" not in command
    ]
    digests = [sha256_of(file.path) for file in (linear, other)]
    order = [digests.index(next(d for d in digests if d in command)) for command in began]
    assert order == [0, 1, 1, 0], "ABBA"
    assert asked(device) == [f"{FIXED} true", f"{FIXED} false"]
    assert list(device.tmp.iterdir()) == [], "nothing stays"


def test_the_compiled_models_program_says_what_it_cannot(
    tmp_path: Path, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model", "compiled model")
    run = measure(place, tool, [linear], replace(QUICK, blocks=1))
    assert run.tool.kind == "compiled model"
    (found,) = run.inside
    assert found.outputs is None and "cannot dump outputs" in found.remarks[0] and found.peak_mb == 12.5
    assert found.operators is not None
    assert [(op.type, op.by, op.ms) for op in found.operators.operators] == [
        ("QUANTIZE", "delegate", 0.1),
        ("FULLY_CONNECTED", "delegate", 0.2),
        ("DEQUANTIZE", "delegate", 0.3),
    ]


def test_cores_are_bound_and_what_is_kept_is_not_pushed_again(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    kept = replace(QUICK, blocks=0, runs=7, threads=0, cpus=(0,), keep=True)
    measure(place, tool, [linear], kept)
    run = next(command for command in device.commands if "--num_runs=7 " in command)
    assert "taskset 1 " in run and "--num_threads=1 " in run
    times = {path: path.stat().st_mtime_ns for path in device.tmp.rglob("*") if path.is_file()}
    assert sorted(path.name for path in times) == ["benchmark_model", "input.bin", "model.tflite"]
    measure(place, tool, [linear], kept)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with pytest.raises(DeviceError, match="does not bind a process to cores 63"):
        measure(place, tool, [linear], replace(kept, cpus=(63,)))


def test_a_phone_that_throttles_and_refuses(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_COOL_SECONDS", 0.0)
    monkeypatch.setattr(blocks, "_REPEATS", 1)
    (device.state / "thermalservice").write_text(THERMAL.replace("Status: 0", "Status: 2", 1))
    (device.state / "refuses").touch()
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    run = measure(place, tool, [ToolFile(linear.path, None, (), ())], replace(QUICK, blocks=1))
    (timed,) = run.timed
    assert [block.disturbed for block in timed.dropped] == [("thermal status moderate",)]
    assert timed.blocks[0].disturbed == ("thermal status moderate",), "kept, and it says so"
    assert run.refused == ("fixed-performance mode was refused: java.lang.SecurityException: not allowed",)
    assert asked(device) == [f"{FIXED} true"]


def test_a_file_that_fails_there(tmp_path: Path, device: Phone, place: Place) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    with pytest.raises(DeviceError, match="failed with code 1: Failed to load model"):
        measure(place, tool, [ToolFile(broken, None, (), ())], QUICK)
    assert asked(device)[-1] == f"{FIXED} false", "switched off after a failure"
    assert list(device.tmp.iterdir()) == []


def test_a_program_that_is_killed_or_takes_too_long(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    bad_input = tmp_path / "short.bin"
    bad_input.write_bytes(b"1234")
    short = ToolFile(linear.path, bad_input, linear.shape, linear.outputs)
    with pytest.raises(DeviceError, match="was ended by signal 6: The size of"):
        measure(place, tool, [short], replace(QUICK, blocks=0))
    with pytest.raises(DeviceError, match="took longer than 1 s"):
        measure(place, tool, [linear], replace(QUICK, runs=10**9, timeout=1.0))
    assert device.running() == [] and list(device.tmp.iterdir()) == []


def test_a_phone_that_vanishes_while_it_measures(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")

    def pull() -> None:
        for _ in range(400):
            if any("--min_secs=30" in command for command in device.commands):
                device.vanish()
                return
            threading.Event().wait(0.05)

    puller = threading.Thread(target=pull)
    puller.start()
    with pytest.raises(DeviceLostError) as caught:
        measure(place, tool, [linear], replace(QUICK, seconds=30.0))
    puller.join()
    assert f"its clocks may still be fixed: adb shell cmd {FIXED} false" in caught.value.hint


def test_programs_that_are_none(tmp_path: Path, place: Place, linear: ToolFile) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"PK\3\4 an archive")
    with pytest.raises(InputError, match="no program of Android or Linux"):
        measure(place, wrong, [linear], QUICK)
    shutil.copy("/bin/true", wrong)
    with pytest.raises(
        DeviceError, match=r"was built for x86_64; adb executes arm64-v8a, armeabi, armeabi-v7a"
    ):
        measure(place, wrong, [linear], QUICK)
    wrong.write_text("#!/bin/sh\necho hello $1\n")
    wrong.chmod(0o755)
    with pytest.raises(DeviceError, match="does not list the flags of benchmark_model: hello --help"):
        measure(place, wrong, [linear], QUICK)
    with pytest.raises(InputError):
        measure(place, tmp_path / "missing", [linear], QUICK)
    with pytest.raises(UnsupportedError, match=r"not model.onnx"):
        measure(place, wrong, [ToolFile(Path("model.onnx"), None, (), ())], QUICK)
    assert list((tmp_path / "phone/data/local/tmp").iterdir()) == []
