"""`edgevit profile --runner` from the command line to a phone without Python, by stand-ins for both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgevit.agent.feed import Feed
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.progress import Silent
from edgevit.core.runner import DeviceFile, DeviceOutput
from edgevit.devices._benchmark_model.types import ToolFile
from edgevit.flows._measure import Options, ToMeasure
from edgevit.flows._measure_by_tool import _agreement, _Asked, measure_by_tool
from tests import _benchmark_model
from tests._command import edgevit
from tests._phone import BATTERY, adb_server, phone
from tests.edgevit.runtimes.litert import _tflite_files as files
from tests.edgevit.runtimes.litert.test_litert import NOTES


def test_a_file_on_a_phone_without_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = files.image_model(tmp_path / "m.tflite", NOTES)
    tool = _benchmark_model.write(tmp_path / "benchmark_model")
    asked = ("profile", model, "--runner", tool, "--runs", "2", "--threads", "1", "--device")
    with adb_server(tmp_path / "adb") as server, phone(tmp_path / "phone", server) as device:
        (device.state / "battery").write_text(
            BATTERY.replace("level: 82", "level: 9").replace("USB powered: true", "")
        )
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        done = edgevit(*asked, f"adb:{device.serial}", "--json")
        assert done.returncode == 0, done.stderr
        assert list(device.tmp.iterdir()) == []
        device.authorized = False
        device.drop()
        refused = edgevit(*asked, f"adb:{device.serial}")
    assert refused.returncode == 3 and refused.stdout == ""
    assert "does not allow USB debugging" in refused.stderr and "unlock it" in refused.stderr
    answer = json.loads(done.stdout)
    assert (answer["runner"]["kind"], answer["runner"]["sha256"]) == ("interpreter", sha256_of(tool))
    assert "output_filepath" in answer["runner"]["flags"]
    (file,) = answer["files"]
    assert file["latency"]["runs"] == 2 and file["latency"]["p90_ms"] is None and len(file["blocks"]) == 2
    assert file["blocks"][0]["summary"]["runs"] == 1
    assert [(op["type"], op["ms"]) for op in file["operators"]] == [
        ("MUL", 0.1),
        ("ADD", 0.2),
        ("RESHAPE", 0.3),
    ]
    assert file["peak_rss_bytes"] == 12.5 * 1024 * 1024
    assert answer["notes"][-1] == f"{model}: one image is answered as on this computer, SQNR 200.0 dB"
    assert "its battery had 9 %: many devices then lower their clocks" in answer["notes"]


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
