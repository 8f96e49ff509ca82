"""`edgevit doctor --device`: its answer, its exit code, and what it says where there is no device."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgevit.core.plugins import Transport
from edgevit.core.progress import Silent
from edgevit.devices.transports.local import LocalPlace
from edgevit.flows import doctor_device
from tests._command import edgevit


def test_this_computer_has_what_it_needs() -> None:
    done = edgevit("doctor", "--device", "local", "--json", "--quiet")
    data = json.loads(done.stdout)
    assert done.returncode == 0 and data["ready"] and data["schema_version"]
    checks = {check["name"]: check for check in data["needed"]}
    assert checks["processor"]["found"].startswith(os.uname().machine)
    assert checks["onnxruntime"]["level"] == checks["ai-edge-litert"]["level"] == "ok"
    assert checks["in use"]["level"] == "ok"
    assert data["survey"]["python"]["packages"]["onnxruntime"] and data["survey"]["emulated"] == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("doctor", "--device", "usb:1"), 2, "unknown device 'usb:1'"),
        (("doctor", "--setup"), 2, "--setup installs runtimes on a device"),
        (
            ("validate", "x.onnx", "--reference", "demo", "--setup"),
            2,
            "--setup installs runtimes on a device",
        ),
        (("convert", "demo", "--setup-online"), 2, "--setup installs runtimes on a device"),
        (("doctor", "--device", "ssh://-oProxyCommand=touch%20x"), 2, "error: "),
        (("doctor", "--device", "ssh://no-such-host.invalid"), 3, "no-such-host.invalid"),
    ],
)
def test_what_cannot_be_looked_at_is_a_clear_error(words: tuple[str, ...], code: int, said: str) -> None:
    done = edgevit(*words)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPlace:
    """A device that is a folder of this computer, with no Python on it."""
    place = LocalPlace(str(tmp_path / "root"), where="ssh://pi@the board", python="")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("uname", "getconf", "cat", "df", "dirname", "tail", "sed", "head", "grep"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))

    @contextmanager
    def opened(where: str) -> Iterator[LocalPlace]:
        yield place

    monkeypatch.setattr(doctor_device, "transport_of", lambda where: Transport("", "", opened))
    return place


def test_what_is_missing_is_exit_code_3_with_the_command_that_mends_it(board: LocalPlace) -> None:
    answer = doctor_device.doctor_device(board.where, "no", Silent())
    assert answer.exit_code == 3 and answer.data["ready"] is False
    rows = {row[0]: row for row in answer.tables[0].rows}
    assert rows["Python"][1:] == ("no: none, the agent needs 3.8 or newer", "there: install Python 3")
    assert not Path(board.root).exists(), "looking makes nothing there"


def test_another_run_on_the_device_is_seen(board: LocalPlace, tmp_path: Path) -> None:
    python = tmp_path / "tools/python3"
    python.symlink_to(os.path.realpath(LocalPlace("").python))
    Path(board.root).mkdir()
    with Path(board.root, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = doctor_device.doctor_device(board.where, "no", Silent())
    rows = {row[0]: row for row in answer.tables[0].rows}
    assert rows["in use"][1] == "no: by another run of edgevit"
    assert rows["onnxruntime"][2] == "edgevit doctor --device 'ssh://pi@the board' --setup"
