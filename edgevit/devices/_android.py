"""A phone over adb: where programs run below /data/local/tmp as Android's user `shell`."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError, EdgevitError, StorageError
from edgevit.core.foreign import printable
from edgevit.core.place import Place
from edgevit.devices._adb import Adb, blamed, choose, connect, not_ready, said

ROOT: Final = "/data/local/tmp/edgevit"  # what `shell` may write and execute; app folders are not
_SHELL_SECONDS: Final = 60.0
_SLOWEST: Final = 256 * 1024  # bytes per second of a transfer; one that is slower hangs
# What adb says of the connection, not of the file or the script.
_BROKEN: Final = re.compile(
    r"closed|device (offline|unauthorized)|(device '.*'|device) not found|no devices|protocol fault|"
    r"cannot connect to daemon|.*(: EOF$|couldn't read from device|connection reset|broken pipe)",
    re.IGNORECASE,
)


@contextmanager
def open_place(where: str) -> Iterator[Place]:
    """Open `adb` or `adb:SERIAL`; at the end, what was spawned and still runs here is ended.

    Raises:
        UsageError, MissingDependencyError, DeviceError: see `edgevit/devices/_adb.py`; also DeviceError for a phone
            whose shell joins the streams and ends without an exit code, which is Android 6 and older.
    """
    adb = connect()
    serial = choose(adb, where)
    features = adb.ask(serial, "features", seconds=_SHELL_SECONDS)
    if features.returncode == 0 and "shell_v2" not in features.stdout.split():
        raise DeviceError(
            f"the phone {printable(serial)} has adb's first shell protocol, which joins output and errors and has no "
            "end of input",
            "use a phone with Android 7 or newer",
        )
    phone = Phone(adb, serial, where)
    try:
        yield phone
    finally:
        phone.end()


class Phone:
    """The Place of one phone."""

    root = ROOT
    python = ""

    def __init__(self, adb: Adb, serial: str, where: str) -> None:
        self.where = where
        self._adb, self._serial = adb, serial
        self._spawned: list[subprocess.Popen[bytes]] = []

    def spawn(self, script: str) -> subprocess.Popen[bytes]:
        """Start a script; `adb shell -T` keeps the three streams apart and binary."""
        self._spawned = [process for process in self._spawned if process.poll() is None]
        process = subprocess.Popen(
            [self._adb.program, "-s", self._serial, "shell", "-T", "--", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C comes to us, and what runs there is told by the end of its input
        )
        self._spawned.append(process)
        return process

    def put(self, local: Path, remote: str) -> None:
        """Push under another name, compare the size, rename."""
        size = local.stat().st_size
        mode = "755" if os.access(local, os.X_OK) else "644"
        part = f"{remote}.{secrets.token_hex(4)}.part"
        what = f"{printable(local.name)} ({size:,} bytes) cannot be copied to the phone {printable(self._serial)}"
        place, taken = shlex.quote(remote), shlex.quote(part)
        try:
            self._transfer(what, size, "push", str(local.resolve()), part)
            self._shell(
                what,
                f'[ "$(stat -c %s {taken})" = {size} ] || {{ echo "it arrived incomplete" >&2; exit 1; }}\n'
                f"chmod {mode} {taken} && mv -f {taken} {place}",
            )
        except BaseException as error:
            if not isinstance(error, DeviceLostError):
                with suppress(DeviceError):
                    self._shell(what, f"rm -f {taken}")
            raise

    def get(self, remote: str, local: Path) -> None:
        """Pull under another name beside `local`, compare the size, rename."""
        name = shlex.quote(remote)
        what = f"{printable(remote)} cannot be copied from the phone {printable(self._serial)}"
        size = int(
            self._shell(
                what,
                f"[ -f {name} ] || {{ echo 'there is no such file' >&2; exit 1; }}\nstat -L -c %s {name}",
            )
        )
        part = local.with_name(f"{local.name}.{secrets.token_hex(4)}.part")
        try:
            self._transfer(what, size, "pull", remote, str(part.absolute()))
            if part.stat().st_size != size:
                raise DeviceError(f"{what}: it arrived incomplete", "run the command again")
            part.replace(local)
        finally:
            part.unlink(missing_ok=True)

    def failure(self, code: int, stderr: str) -> DeviceError | None:
        """What adb says of the phone now, and else what it said of the connection."""
        try:
            state = self._adb.phones().get(self._serial)
        except DeviceError as error:
            return DeviceLostError(
                f"the connection to the phone {printable(self._serial)} broke: {error.message}", error.hint
            )
        if state is None:
            return DeviceLostError(
                f"the phone {printable(self._serial)} is no longer connected",
                "reconnect it and run the command again",
            )
        if state != "device":
            found = not_ready(self._serial, state)
            return DeviceLostError(f"the connection broke: {found.message}", found.hint)
        line = blamed(stderr)
        if code != 0 and _BROKEN.match(line):
            return DeviceLostError(
                f"the connection to the phone {printable(self._serial)} broke: {line}",
                "run the command again",
            )
        return None

    def end(self) -> None:
        """End what was spawned and still runs, which the phone sees as the end of its input."""
        for process in self._spawned:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _transfer(self, what: str, size: int, *arguments: str) -> None:
        """Run adb's push or pull."""
        done = self._adb.ask(self._serial, *arguments, seconds=_SHELL_SECONDS + size / _SLOWEST)
        if done.returncode != 0:
            # older versions tell it on standard output
            raise self._refused(what, done.returncode, done.stdout + done.stderr)

    def _shell(self, what: str, script: str) -> str:
        """Run a short script to its end; its output says itself that the end was reached."""
        end = secrets.token_hex(8)
        command = f"( {script}\n) && echo {end}"
        done = self._adb.ask(self._serial, "shell", "-T", "--", command, seconds=_SHELL_SECONDS)
        output, reached, _ = done.stdout.partition(end)
        if not reached:
            raise self._refused(what, done.returncode or 1, done.stderr)
        return output

    def _refused(self, what: str, code: int, output: str) -> EdgevitError:
        if lost := self.failure(code, output):
            return lost
        line = said(output)
        if line.startswith("cannot "):  # adb's own words for a file that it cannot write on this side
            return StorageError(f"{what}: {line}", "free some space here, or choose another folder")
        if "No space left" in line:
            return DeviceError(
                f"{what}: no space left there", "remove files from it; adb shell df /data shows what is free"
            )
        if "Read-only" in line or "Permission denied" in line:
            return DeviceError(f"{what}: {line}", f"{ROOT} must be writable for Android's user `shell`")
        return DeviceError(f"{what}: {line}")
