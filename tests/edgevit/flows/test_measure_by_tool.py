"""`edgevit profile --runner` on a phone without Python, by stand-ins for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevit.agent.feed import Feed
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.progress import Silent
from edgevit.core.runner import DeviceFile, DeviceOutput, RunOptions
from edgevit.devices._benchmark_model.types import ToolFile
from edgevit.flows._devices.measure import Options, ToMeasure
from edgevit.flows._devices.measure_by_tool import _agreement, _Asked, measure_by_tool
from edgevit.runtimes.litert import RUNTIME
from tests import _benchmark_model
from tests._command import edgevit
from tests._phone import BATTERY, adb_server, phone
from tests.edgevit.runtimes.litert import _tflite_files as files
from tests.edgevit.runtimes.litert.test_litert import NOTES


@pytest.mark.family
def test_files_on_a_phone_without_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    assert RUNTIME.on_device is not None
    described = RUNTIME.on_device(path, RunOptions(threads=1))
    model = ToMeasure("m.tflite", "tflite", path, described, "", {"shifted": "blocks.0.mlp:linear"}, True)
    other = ToMeasure("m.onnx", "onnx", tmp_path / "m.onnx", described, "", {}, True)
    with adb_server(tmp_path / "adb") as server, phone(tmp_path / "phone", server) as device:
        low = BATTERY.replace("level: 82", "level: 9").replace("USB powered: true", "")
        (device.state / "battery").write_text(low)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        options = Options(runs=2, threads=1, timeout=60.0)
        done = measure_by_tool(f"adb:{device.serial}", tool, [model, other], options, False, Silent())
        assert device.left() == []
        device.authorized = False
        device.drop()
        refused = edgevit("profile", path, "--runner", tool, "--device", f"adb:{device.serial}")
    assert refused.returncode == 3 and refused.stdout == ""
    assert "does not allow USB debugging" in refused.stderr and "unlock it" in refused.stderr
    assert done.runner is not None
    assert (done.runner.kind, done.runner.sha256) == ("interpreter", sha256_of(tool))
    assert "output_filepath" in done.runner.flags
    file, unasked = done.files
    assert file.latency is not None and (file.latency.runs, file.latency.p90_ms) == (2, None)
    assert [block.summary is not None and block.summary.runs for block in file.blocks] == [1, 1]
    assert [(op.type, op.ms) for op in file.operators] == [("MUL", 0.1), ("ADD", 0.2), ("RESHAPE", 0.3)]
    (module,) = file.modules
    assert (module.name, module.share) == ("blocks.0.mlp", pytest.approx(1.0))
    assert file.peak_rss_bytes == 12.5 * 1024 * 1024
    assert unasked.latency is None and "needs Python there" in unasked.reason
    assert done.notes[-1] == "m.tflite: one image is answered as on this computer, SQNR 200.0 dB"
    assert "its battery had 9 %: many devices then lower their clocks" in done.notes


def test_what_it_is_not_for(tmp_path: Path) -> None:
    for where, kind in (("local", UsageError), ("ssh://board", UsageError), ("adb", UnsupportedError)):
        with pytest.raises(kind):
            measure_by_tool(where, tmp_path / "tool", [], Options(), False, Silent())


def test_agreement_is_of_the_worst_output_in_real_numbers(tmp_path: Path) -> None:
    outputs = (DeviceOutput("a"), DeviceOutput("b", 0.5, 10))
    file = DeviceFile(Feed("NHWC", False, (0.0,), (1.0,)), (1, 1, 1), outputs)
    measured = ToMeasure("m", "tflite", tmp_path, file, "", {}, True)
    here = (np.array([3.0, 4.0], np.float32), np.array([12, 10], np.int8))  # 1.0, 0.0 in real numbers
    asked = _Asked(measured, ToolFile(tmp_path, None, (), ()), here)
    assert _agreement(here, asked) == 200.0
    there = (np.array([3.0, 4.0], np.float32), np.array([12, 11], np.int8))
    assert _agreement(there, asked) == pytest.approx(10 * np.log10(1 / 0.25))
