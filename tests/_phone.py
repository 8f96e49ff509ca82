"""A phone without a phone: a userland like Android's and its faults behind the real `adb`, without root.

`/data/local/tmp` is a folder of the test: the paths in commands and in what flows in and out of them are translated.
The adb server is a private one, with a port and a HOME of its own; the user's, on port 5037, is never touched.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests._adbd import Connection

TMP: Final = "/data/local/tmp"
FEATURES: Final = ("shell_v2", "cmd", "stat_v2", "ls_v2")
# What a phone has of toybox and mksh (Android 8): shell_and_utilities/README.md of platform/system/core.
_TOOLS: Final = (
    *(
        "sh",
        "env",
        "cat",
        "chmod",
        "cp",
        "cut",
        "date",
        "dd",
        "df",
        "dirname",
        "basename",
        "du",
        "echo",
        "expr",
    ),
    *(
        "find",
        "grep",
        "head",
        "id",
        "kill",
        "ln",
        "ls",
        "mkdir",
        "mktemp",
        "mv",
        "nice",
        "nproc",
        "od",
        "printf",
        "ps",
    ),
    *(
        "readlink",
        "realpath",
        "rm",
        "rmdir",
        "sed",
        "sha256sum",
        "sleep",
        "sort",
        "stat",
        "sync",
        "tail",
        "taskset",
    ),
    *("tee", "timeout", "touch", "tr", "true", "false", "uname", "wc", "xargs", "uptime"),
)
_GETPROP: Final = """\
case "$1" in
    ro.product.model) echo 'Double 1' ;;
    ro.product.manufacturer) echo 'Example' ;;
    ro.soc.model) echo 'EX1234' ;;
    ro.soc.manufacturer) echo 'Example' ;;
    ro.build.version.release) echo 14 ;;
    ro.build.version.sdk) echo 34 ;;
    ro.product.cpu.abilist) echo 'arm64-v8a,armeabi-v7a,armeabi' ;;
    *) echo ;;
esac
"""
_DUMPSYS: Final = """\
here=$(dirname "$0")/../state
case "$1" in
    thermalservice) cat "$here/thermalservice" ;;
    battery) cat "$here/battery" ;;
    *) echo "Can't find service: $1"; exit 20 ;;
esac
"""
# Notes what it was asked for, and refuses where the file `refuses` lies beside it.
_CMD: Final = """\
here=$(dirname "$0")/../state
echo "$*" >>"$here/cmd"
[ ! -e "$here/refuses" ] || { echo 'java.lang.SecurityException: not allowed' >&2; exit 255; }
"""
THERMAL: Final = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=55.5, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{mValue=41.25, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=31.0, mType=3, mName=skin, mStatus=0}
\tTemperature{mValue=28.5, mType=2, mName=battery, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=cpu}
"""
BATTERY: Final = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  health: 2
  present: true
  level: 82
  scale: 100
  voltage: 4211
  temperature: 285
  technology: Li-ion
"""


def _android_tool(name: str) -> str | None:
    """Android's own shell and tools, where a folder with `mksh` and `toybox` is named; else this computer's do."""
    folder = os.environ.get("PHONE_USERLAND")
    if folder is None:
        return None
    toybox = f"{folder}/toybox"
    applets = subprocess.run([toybox], capture_output=True, text=True).stdout.split()
    return f"{folder}/mksh" if name == "sh" else toybox if name in applets else None


class _Replace:
    """Replaces one word in a stream, wherever the stream is cut."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old, self._new, self._held = old, new, b""

    def __call__(self, data: bytes, last: bool) -> bytes:
        data = (self._held + data).replace(self._old, self._new)
        cut = len(data)
        if not last:  # the beginning of the word may be all that has come of it
            cut -= next((n for n in range(len(self._old) - 1, 0, -1) if data.endswith(self._old[:n])), 0)
        self._held = data[cut:]
        return data[:cut]


class Phone:
    """A device that waits for an adb server on a port of its own.

    Attributes:
        free: bytes of a push until the disk is full; None for a disk without end.
        lasts: bytes of a push until the phone goes away; None for ever.
        read_only: whether nothing can be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        features: tuple[str, ...] = FEATURES,
        authorized: bool = True,
        python: bool = False,
    ) -> None:
        self.folder, self.features, self.authorized = folder, features, authorized
        self.answers, self.read_only = True, False
        self.free: int | None = None
        self.lasts: int | None = None
        self.tmp = folder / TMP.lstrip("/")
        self.state = folder / "system/state"
        self.commands: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection] = []
        self._furnish(python)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.serial = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _furnish(self, python: bool) -> None:
        tools = self.folder / "system/bin"
        for folder in (tools, self.state, self.tmp):
            folder.mkdir(parents=True)
        for tool in _TOOLS:
            if found := _android_tool(tool) or shutil.which(tool):
                (tools / tool).symlink_to(found)
        scripts = {"getprop": _GETPROP, "dumpsys": _DUMPSYS, "cmd": _CMD}
        if python:  # a link would lose the environment that its packages are in
            scripts["python3"] = f'exec {sys.executable} "$@"\n'
        for name, text in scripts.items():
            (tools / name).write_text(f"#!/bin/sh\n{text}")
            (tools / name).chmod(0o755)
        (self.state / "thermalservice").write_text(THERMAL)
        (self.state / "battery").write_text(BATTERY)

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                wire = self._listener.accept()[0]
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(wire, self)
                self._connections.append(connection)
                threading.Thread(target=connection.serve, daemon=True).start()

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def start(self, command: str, stderr: int) -> subprocess.Popen[bytes]:
        self.commands.append(command)
        bin_folder = str(self.folder / "system/bin")
        process = subprocess.Popen(
            ["sh", "-c", command.replace(TMP, str(self.tmp))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            env={"PATH": bin_folder, "ANDROID_ROOT": "/system", "HOME": "/", "TMPDIR": str(self.tmp)},
            cwd=self.folder,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def translate(self, *, back: bool) -> Callable[[bytes, bool], bytes]:
        there, here = TMP.encode(), str(self.tmp).encode()
        return _Replace(here, there) if back else _Replace(there, here)

    def received(self, count: int) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if self.free is not None:
            self.free -= count
            if self.free < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.lasts is not None:
            self.lasts -= count
            if self.lasts < 0:
                self.vanish()
                raise EOFError

    def vanish(self) -> None:
        """Pull the cable."""
        with suppress(OSError):
            self._listener.shutdown(
                socket.SHUT_RDWR
            )  # wakes whoever waits in accept(), which close() does not
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Break the connections; the adb server may make new ones."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def running(self, patience: float = 10.0) -> list[str]:
        """What still runs there, once what was told to end has had time for it."""
        until = time.monotonic() + patience
        while True:
            found = [str(process.args) for process in self._processes if process.poll() is None]
            if not found or time.monotonic() > until:
                return found
            time.sleep(0.02)

    def left(self) -> list[str]:
        """What still runs or lies there."""
        return [*self.running(), *(str(path) for path in self.tmp.iterdir())]

    def close(self) -> None:
        self.vanish()
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Server:
    """A private adb server; `environment` is what a process needs to use it and no other."""

    adb: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.adb, *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


@contextmanager
def adb_server(home: Path) -> Iterator[Server]:
    """Start one on a free port, and end it."""
    from adbutils import adb_path

    home.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "HOME": str(home),
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_MDNS_AUTO_CONNECT": "",  # nothing of the network
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",  # nor emulators of this machine
    }
    server = Server(adb_path(), environment)
    try:
        started = server.run("start-server")
        assert started.returncode == 0, started.stderr
        yield server
    finally:
        server.run("kill-server")


@contextmanager
def phone(folder: Path, server: Server, **options: object) -> Iterator[Phone]:
    """A phone that the server knows."""
    device = Phone(folder, **options)  # type: ignore[arg-type]
    try:
        server.run("connect", device.serial)
        yield device
    finally:
        server.run("disconnect", device.serial)
        device.close()
