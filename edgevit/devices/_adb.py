"""The `adb` program: its server, the phones that it knows, and which of them is meant.

adbutils brings the program and finds one that is installed already. Everything goes through the program, nothing
through adbutils' own client: both would have to agree on the server (`ANDROID_ADB_SERVER_PORT`, `ADB_SERVER_SOCKET`),
and only the program separates the streams of a shell and says why a push was refused. A server that it starts stays,
as it does after any use of `adb`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError, UsageError, nearest
from edgevit.core.foreign import printable
from edgevit.core.require import require

_PORT: Final = 5037
_START_SECONDS: Final = 40.0
_ASK_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 5.0
# Where a phone is for a moment after it was connected, or after the connection broke.
_UNSETTLED: Final = ("connecting", "authorizing", "offline")
_READY: Final = "device"
_ADDRESS: Final = re.compile(r"[\w.\[\]:-]+:\d+")


@dataclass(frozen=True, slots=True)
class Adb:
    """An `adb` program whose server runs."""

    program: str

    def call(self, *arguments: str, seconds: float = _ASK_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run one command of adb to its end.

        Raises:
            DeviceError: it does not end in time, or cannot be executed.
        """
        try:
            return self._run(arguments, seconds)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"`adb {arguments[0]}` did not end within {seconds:.0f} s", "restart it: adb kill-server"
            ) from error

    def ask(self, serial: str, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run one command of adb that a phone has to answer.

        Raises:
            DeviceLostError: it does not end in time.
            DeviceError: adb cannot be executed.
        """
        try:
            return self._run(("-s", serial, *arguments), seconds)
        except subprocess.TimeoutExpired as error:
            raise DeviceLostError(
                f"the phone {printable(serial)} did not finish `adb {arguments[0]}` within {seconds:.0f} s",
                "reconnect it and run the command again",
            ) from error

    def phones(self) -> dict[str, str]:
        """Serial number -> state, of every phone that the server knows.

        Raises:
            DeviceError: the server does not answer.
        """
        asked = self.call("devices")
        if asked.returncode != 0:
            raise DeviceError(
                f"adb does not list its phones: {said(asked.stderr)}", "restart it: adb kill-server"
            )
        lines = [line.rpartition("\t") for line in asked.stdout.splitlines()]
        return {serial: state for serial, tab, state in lines if tab}

    def _run(self, arguments: tuple[str, ...], seconds: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                start_new_session=True,  # Ctrl-C is ours to handle, and a server that this starts outlives it
            )
        except OSError as error:
            raise DeviceError(
                f"{printable(self.program)} cannot be executed: {error.strerror}",
                "install Android's platform-tools",
            ) from error


def connect() -> Adb:
    """Find the program, and start its server where none runs.

    Raises:
        UsageError: ANDROID_ADB_SERVER_PORT is no port, at which adb and adbutils stumble in words of their own.
        MissingDependencyError: adbutils is not installed.
        DeviceError: there is no program for this computer, or its server does not start.
    """
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", str(_PORT))
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(
            f"ANDROID_ADB_SERVER_PORT is {printable(port)!r}",
            f"unset it, or a port number; {_PORT} is adb's own",
        )
    adbutils = require("adbutils", "android")
    try:
        adb = Adb(adbutils.adb_path())
    except adbutils.AdbError as error:
        raise DeviceError(
            "adbutils has no adb for this computer",
            "install Android's platform-tools, so that `adb` is in PATH",
        ) from error
    started = adb.call("start-server", seconds=_START_SECONDS)
    if started.returncode != 0:
        raise DeviceError(
            f"the adb server cannot be started: {said(started.stderr)}",
            f"see whether another program has its port, {port}",
        )
    return adb


def choose(adb: Adb, where: str) -> str:
    """Serial number of the phone that `adb` or `adb:SERIAL` means, which is ready.

    Without one, ANDROID_SERIAL is taken, as adb does, or the only phone that there is.

    Raises:
        UsageError: `adb:` without anything behind it.
        DeviceError: it is not there, or not ready, or there are several.
    """
    _, colon, wanted = where.partition(":")
    if colon and not wanted:
        raise UsageError(
            f"{where} names no phone",
            "adb:SERIAL, with a serial number that `adb devices` lists, or adb alone",
        )
    wanted = wanted or os.environ.get("ANDROID_SERIAL", "")
    phones = _settled(adb, wanted)
    if not phones and not wanted:
        raise DeviceError(
            "adb knows no phone",
            "connect one by USB with USB debugging on, or by `adb connect HOST:PORT`; see adb devices",
        )
    if not wanted and len(phones) > 1:
        listed = ", ".join(f"adb:{_named(serial, phones[serial])}" for serial in sorted(phones))
        raise DeviceError(
            f"{len(phones)} phones are connected, and {where} does not say which", f"one of {listed}"
        )
    serial = wanted or next(iter(phones))
    if serial not in phones:
        raise DeviceError(f"adb knows no phone {printable(serial)}", _where_it_may_be(serial, phones))
    if phones[serial] != _READY:
        raise not_ready(serial, phones[serial])
    return serial


def not_ready(serial: str, state: str) -> DeviceError:
    """Say what a phone that adb lists in another state than `device` needs."""
    name = printable(serial)
    if state == "unauthorized":
        return DeviceError(
            f"the phone {name} does not allow USB debugging from this computer",
            "unlock it and allow USB debugging in the question that it shows",
        )
    if state == "offline":
        return DeviceError(
            f"the phone {name} is offline: it does not answer adb",
            "reconnect it, or run: adb reconnect offline",
        )
    if state.startswith("no permissions"):
        return DeviceError(
            f"this user may not open the USB device of the phone {name}",
            "add the user to the group plugdev and install Android's udev rules",
        )
    return DeviceError(
        f"the phone {name} is not ready: {printable(state)}", "start Android on it, and allow USB debugging"
    )


def said(output: str) -> str:
    """The one line of adb's that says what was wrong; else the last one of all that it printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("* daemon")]
    return blamed(output) or printable((lines or ["it gives no reason"])[-1][:240])


def blamed(output: str) -> str:
    """The line in which adb itself tells an error, "" without one."""
    lines = [line.strip() for line in output.splitlines() if re.match(r"\s*(adb|error)\b.*: ", line)]
    return printable(re.sub(r"^((adb|error): )+", "", lines[-1])[:240]) if lines else ""


def _settled(adb: Adb, wanted: str) -> dict[str, str]:
    """The phones, once none that may be meant is still being connected."""
    until = time.monotonic() + _SETTLE_SECONDS
    while True:
        phones = adb.phones()
        asked = [phones[wanted]] if wanted in phones else [] if wanted else list(phones.values())
        if not any(state in _UNSETTLED for state in asked) or time.monotonic() > until:
            return phones
        time.sleep(0.1)


def _named(serial: str, state: str) -> str:
    return printable(serial) if state == _READY else f"{printable(serial)} ({printable(state)})"


def _where_it_may_be(serial: str, phones: dict[str, str]) -> str:
    known = nearest(printable(serial), map(printable, phones)) if phones else "none is connected"
    return f"adb connect {serial}; {known}" if _ADDRESS.fullmatch(serial) else f"{known}; see adb devices"
