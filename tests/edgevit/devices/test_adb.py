"""The transport to phones, through the real adb to the device side in `tests/_adbd.py`."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit.core.errors import (
    DeviceError,
    DeviceLostError,
    EdgevitError,
    MissingDependencyError,
    StorageError,
    UsageError,
)
from edgevit.devices import _adb, _android, _shell
from edgevit.devices._android import ROOT, open_place
from tests._phone import Phone, Server, phone

HOSTILE = (
    "a b",
    "it's",
    'say "x"',
    "$(touch canary)",
    "; touch canary;",
    "`touch canary`",
    "-rf",
    "*",
    "ü\nx",
)


def told(call: Callable[[], object], kind: type[EdgevitError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return f"{caught.value.message} | {caught.value.hint}"


def opened(where: str) -> None:
    with open_place(where):
        pass


def there(device: Phone) -> list[str]:
    """Every file of the phone's folder, and of the folders where a name that is executed would leave one."""
    files = [path for path in device.tmp.rglob("*") if path.is_file()]
    assert not list(device.folder.rglob("canary")) and not Path("canary").exists()
    return [str(path.relative_to(device.tmp)) for path in files]


def test_streams_stay_apart_and_binary(tmp_path: Path, adb: Server) -> None:
    sent = bytes(range(256)) * 4096
    with phone(tmp_path / "phone", adb) as device, open_place(f"adb:{device.serial}") as place:
        assert (place.where, place.root) == (f"adb:{device.serial}", ROOT)
        process = place.spawn('cat; echo "wrong" >&2; exit 7')
        output, errors = process.communicate(sent)
        assert (output, errors, process.returncode) == (sent, b"wrong\n", 7)
        assert place.failure(7, "wrong\n") is None, "that was the script"
        script = "printf %s " + "x" * 32_000
        assert place.spawn(script).communicate()[0] == b"x" * 32_000
        assert device.running() == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_comes_back_as_it_went_whatever_its_name(tmp_path: Path, adb: Server, name: str) -> None:
    content = os.urandom(70_000)
    (tmp_path / name).write_bytes(content)
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:
        place.put(tmp_path / name, f"{ROOT}/{name}/{name}")
        assert there(device) == [f"edgevit/{name}/{name}"]
        place.get(f"{ROOT}/{name}/{name}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_large_program_and_its_bit(tmp_path: Path, adb: Server) -> None:
    content = b"#!/bin/sh\necho ran\nexit 0\n" + os.urandom(5_000_000)
    program, data = tmp_path / "program", tmp_path / "data"
    program.write_bytes(content)
    program.chmod(0o700)
    data.write_bytes(b"")
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:
        for local in (program, data):
            place.put(local, f"{ROOT}/files/{local.name}")
        assert place.spawn(f"{ROOT}/files/program").communicate()[0] == b"ran\n"
        assert (device.tmp / "edgevit/files/data").stat().st_mode & 0o777 == 0o644
        place.put(data, f"{ROOT}/files/program")  # again, over what is there
        place.get(f"{ROOT}/files/program", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_script_that_says_its_end_late(tmp_path: Path, adb: Server) -> None:
    script = "echo one; sleep 0.2; echo two; sleep 0.2; echo three >&2; head -c 300000 /dev/zero; exit 7"
    with phone(tmp_path / "phone", adb), open_place("adb") as place:
        done = _shell.run(place, script)
        assert (done.code, done.stdout[:9], len(done.stdout)) == (7, "one\ntwo\n\0", 300_008)
        assert done.stderr == "three"


def test_what_is_spawned_ends_with_the_place(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb) as device:
        with open_place("adb") as place:
            process = place.spawn("cat >/dev/null")
        assert process.returncode is not None
        assert device.running() == []


def test_the_phone_that_is_meant(tmp_path: Path, adb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "knows no phone | connect one by USB" in told(lambda: opened("adb"), DeviceError)
    assert "adb: names no phone" in told(lambda: opened("adb:"), UsageError)
    with phone(tmp_path / "one", adb) as one, phone(tmp_path / "two", adb, authorized=False) as two:
        words = told(lambda: opened("adb"), DeviceError)
        assert "2 phones are connected, and adb does not say which" in words
        assert f"adb:{one.serial}" in words and f"adb:{two.serial} (unauthorized)" in words
        words = told(lambda: opened(f"adb:{one.serial}0"), DeviceError)
        assert f"knows no phone {one.serial}0 | adb connect {one.serial}0; did you mean {one.serial}" in words
        assert "adb connect" not in told(lambda: opened("adb:R58M12ABCDE"), DeviceError)
        assert "allow USB debugging" in told(lambda: opened(f"adb:{two.serial}"), DeviceError)
        monkeypatch.setenv("ANDROID_SERIAL", one.serial)
        with open_place("adb") as place:
            assert place.spawn("getprop ro.product.model").communicate()[0] == b"Double 1\n"


def test_an_emulator_has_a_serial_of_its_own(tmp_path: Path, adb: Server) -> None:
    device = Phone(tmp_path / "phone")
    try:
        with socket.create_connection(("127.0.0.1", int(adb.environment["ANDROID_ADB_SERVER_PORT"]))) as wire:
            request = (
                f"host:emulator:{device.port}".encode()
            )  # what an emulator says to the server when it starts
            wire.sendall(b"%04x%s" % (len(request), request))
            wire.recv(4)
        with open_place(f"adb:emulator-{device.port - 1}") as place:
            assert place.spawn("echo here").communicate()[0] == b"here\n"
    finally:
        device.close()


@pytest.mark.parametrize("serial", ["$(touch canary)", "; touch canary", "-H evil", "a\x1b[31mb", "x y'z"])
def test_a_hostile_serial_number_is_only_looked_for(tmp_path: Path, adb: Server, serial: str) -> None:
    with phone(tmp_path / "phone", adb) as device:
        words = told(lambda: opened(f"adb:{serial}"), DeviceError)
        assert "knows no phone" in words and "\x1b" not in words
        assert there(device) == []


def test_states_that_are_not_ready(tmp_path: Path, adb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_adb, "_SETTLE_SECONDS", 0.0)
    with phone(tmp_path / "phone", adb) as device:
        device.answers = False
        device.drop()
        assert "is offline" in told(lambda: opened(f"adb:{device.serial}"), DeviceError)
    for state, words in (
        ("no permissions (user in plugdev group)", "plugdev"),
        ("recovery", "not ready: recovery"),
    ):
        found = _adb.not_ready("R58M", state)
        assert words in f"{found.message} {found.hint}"


def test_the_first_shell_protocol_is_refused(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb, features=("cmd",)):
        assert "Android 7 or newer" in told(lambda: opened("adb"), DeviceError)


def test_a_phone_that_vanishes_from_a_command(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:
        process = place.spawn("echo begun; sleep 60; echo done")
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        device.vanish()
        output, errors = process.communicate(timeout=20)
        assert output == b""
        for code in (process.returncode, 0):  # older versions of adb return 0
            lost = place.failure(code, errors.decode())
            assert isinstance(lost, DeviceLostError) and "is offline" in lost.message
        adb.run("disconnect", device.serial)
        lost = place.failure(0, "")
        assert isinstance(lost, DeviceLostError) and "no longer connected" in lost.message


def test_a_connection_that_broke_and_is_there_again(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb), open_place("adb") as place:
        for line in (
            "closed",
            "device offline",
            "device '127.0.0.1:1' not found",
            "protocol fault (couldn't read)",
        ):
            lost = place.failure(1, f"error: {line}\n")
            assert isinstance(lost, DeviceLostError) and lost.message.endswith(f"broke: {line}")
        for line in ("sh: nothing: not found", "error: labels not found", "error: the file is closed"):
            assert place.failure(1, f"{line}\n") is None, "that was the script"
        assert place.failure(0, "") is None


def test_a_push_that_fails_leaves_nothing(tmp_path: Path, adb: Server) -> None:
    local = tmp_path / "model"
    local.write_bytes(os.urandom(1_000_000))
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:

        def put() -> None:
            place.put(local, f"{ROOT}/files/model")

        device.free = 300_000
        words = told(put, DeviceError)
        assert "model (1,000,000 bytes) cannot be copied" in words and "no space left there" in words
        device.free, device.read_only = None, True
        assert "Read-only file system" in told(put, DeviceError)
        device.read_only = False
        (device.tmp / "edgevit/files").rmdir()
        (device.tmp / "edgevit/files").write_bytes(b"a file in its place")
        assert "cannot be copied" in told(put, DeviceError)
        (device.tmp / "edgevit/files").unlink()
        assert there(device) == []
        device.lasts = 300_000
        told(put, DeviceLostError)
        assert not (device.tmp / "edgevit/files/model").exists(), "half of it has another name"


def test_a_pull_that_fails_leaves_nothing(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:
        words = told(lambda: place.get(f"{ROOT}/none", tmp_path / "back"), DeviceError)
        assert f"{ROOT}/none cannot be copied from the phone {device.serial}: there is no such file" in words
        (device.tmp / "edgevit/folder").mkdir(parents=True)
        told(lambda: place.get(f"{ROOT}/folder", tmp_path / "back"), DeviceError)
        (device.tmp / "edgevit/file").write_bytes(b"x")
        told(lambda: place.get(f"{ROOT}/file", tmp_path / "no-folder/back"), StorageError)
    assert [path.name for path in tmp_path.iterdir()] == ["phone"]


def test_a_phone_that_hangs(tmp_path: Path, adb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_android, "_SHELL_SECONDS", 1.0)
    forever = threading.Event()
    (tmp_path / "model").write_bytes(b"x")
    with phone(tmp_path / "phone", adb) as device, open_place("adb") as place:
        monkeypatch.setattr(device, "received", lambda count: forever.wait())
        words = told(lambda: place.put(tmp_path / "model", f"{ROOT}/model"), DeviceLostError)
        assert "did not finish `adb push` within 1 s" in words
        forever.set()


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for port in ("nowhere", "0", "-1", "65536", "5037\n", ""):
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
        assert "5037 is adb's own" in told(lambda: opened("adb"), UsageError)
    with socket.create_server(("127.0.0.1", 0)) as other:  # a program that is no adb server
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(other.getsockname()[1]))
        monkeypatch.setattr(_adb, "_START_SECONDS", 1.0)
        assert "`adb start-server` did not end within 1 s" in told(lambda: opened("adb"), DeviceError)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbutils", None)
    assert "pip install 'edgevit[android]'" in told(lambda: opened("adb"), MissingDependencyError)


def test_without_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "none"))
    assert "cannot be executed" in told(lambda: opened("adb"), DeviceError)
