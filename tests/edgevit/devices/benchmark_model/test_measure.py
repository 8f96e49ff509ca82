"""From a phone without Python and back, by the stand-in for benchmark_model in `tests/_benchmark_model.py`."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
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
from edgevit.devices._benchmark_model.fixed_clocks import fixed_clocks
from edgevit.devices._benchmark_model.measure import measure
from edgevit.devices._benchmark_model.store import put_once
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
    for file in run.files:
        assert file.timed is not None and len(file.timed.blocks) == 2 and file.timed.dropped == ()
        for block in file.timed.blocks:
            assert block.times.runs == 3 and block.disturbed == ()
            assert block.before.celsius["CPU0"] == 41.25
    computed, unasked = (file.inside for file in run.files)
    assert computed is not None and unasked is not None
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
    assert device.left() == [], "nothing stays"


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
    assert put_once(place, linear.path, "model.tflite").endswith(f"{sha256_of(linear.path)}/model.tflite")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    damaged = next(path for path in times if path.name == "model.tflite")
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    put_once(place, linear.path, "model.tflite")
    assert damaged.read_bytes() == linear.path.read_bytes(), "by its digest, not by its size"
    with pytest.raises(DeviceError, match="does not bind a process to cores 63"):
        measure(place, tool, [linear], replace(kept, cpus=(63,)))


def test_a_hot_phone_that_refuses_and_a_program_that_cannot(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_COOL_SECONDS", 0.0)
    monkeypatch.setattr(blocks, "_REPEATS", 1)
    (device.state / "thermalservice").write_text(THERMAL.replace("Status: 0", "Status: 2", 1))
    (device.state / "refuses").touch()
    tool = _benchmark_model.write(tmp_path / "benchmark_model", "compiled model")
    run = measure(place, tool, [linear], replace(QUICK, blocks=1))
    timed, inside = run.files[0].timed, run.files[0].inside
    assert timed is not None and inside is not None
    assert [block.disturbed for block in timed.dropped] == [("thermal status moderate",)]
    assert timed.blocks[0].disturbed == ("thermal status moderate",), "kept, and it says so"
    assert run.refused == ("fixed-performance mode was refused: java.lang.SecurityException: not allowed",)
    assert asked(device) == [f"{FIXED} true"]
    assert run.tool.kind == "compiled model"
    assert inside.outputs is None and "cannot dump outputs" in inside.remarks[0] and inside.peak_mb == 12.5
    assert inside.operators is not None
    assert [(op.type, op.by, op.ms) for op in inside.operators.operators] == [
        ("QUANTIZE", "delegate", 0.1),
        ("FULLY_CONNECTED", "delegate", 0.2),
        ("DEQUANTIZE", "delegate", 0.3),
    ]


def test_files_that_fail_there_do_not_stop_the_others(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    broken, short = tmp_path / "broken.tflite", tmp_path / "short.bin"
    broken.write_bytes(b"no model")
    short.write_bytes(b"1234")
    asked = [ToolFile(broken, None, (), ()), replace(linear, input=short), replace(linear, input=None)]
    run = measure(place, tool, asked, replace(QUICK, blocks=1))
    reasons = [file.reason for file in run.files]
    assert reasons[0].endswith(
        "failed with code 1: Failed to load model "
        + run.tool.path.replace(run.tool.sha256, sha256_of(broken)).replace("benchmark_model", "model.tflite")
    )
    assert "was ended by signal 6: The size of input:" in reasons[1]
    assert reasons[2] == "" and run.files[2].timed is not None and run.files[1].timed is None
    late = measure(place, tool, [linear], replace(QUICK, runs=10**9, timeout=1.0))
    assert late.files[0].reason.endswith("took longer than 1 s")
    assert device.left() == []


def test_clocks_are_set_free_after_a_failure(device: Phone, place: Place) -> None:
    for number, error in enumerate((DeviceError("something", "a hint"), KeyboardInterrupt()), 1):
        with pytest.raises(type(error)) as caught, fixed_clocks(place):
            raise error
        assert asked(device) == [f"{FIXED} true", f"{FIXED} false"] * number
        assert getattr(caught.value, "hint", "a hint") == "a hint"


def while_it_measures(device: Phone, act: Callable[[], None]) -> threading.Thread:
    """Do something once the program runs with fixed clocks."""

    def wait() -> None:
        for _ in range(800):
            kinds = [FIXED in command or ("--num_runs" in command and "timed") for command in device.commands]
            if True in kinds and "timed" in kinds[kinds.index(True) :]:
                act()
                return
            threading.Event().wait(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_phone_that_vanishes_while_it_measures(
    tmp_path: Path, device: Phone, place: Place, linear: ToolFile
) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    puller = while_it_measures(device, device.vanish)
    with pytest.raises(DeviceLostError) as caught:
        measure(place, tool, [replace(linear, input=None)], replace(QUICK, blocks=99))
    puller.join()
    assert f"its clocks may still be fixed: adb shell cmd {FIXED} false" in caught.value.hint


def test_ctrl_c_leaves_nothing(tmp_path: Path, device: Phone, place: Place, linear: ToolFile) -> None:
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    breaker = while_it_measures(device, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        measure(place, tool, [replace(linear, input=None)], replace(QUICK, blocks=99))
    breaker.join()
    assert asked(device) == [f"{FIXED} true", f"{FIXED} false"]
    assert device.left() == []


def test_an_old_phone(tmp_path: Path, device: Phone, place: Place, linear: ToolFile) -> None:
    (device.folder / "system/bin/sha256sum").unlink()
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    with pytest.raises(DeviceError, match="has no sha256sum"):
        measure(place, tool, [linear], QUICK)


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
