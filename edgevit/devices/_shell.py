"""Run a short script on a device and know how it ended: by a word that only its end can print."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.place import Place

_MOST: Final = 1 << 20
TAIL: Final = 4000


@dataclass(frozen=True, slots=True)
class Completed:
    """How a script ended: its own exit code, and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Tail(threading.Thread):
    """Reads a stream to its end beside other work, so that its writer never waits, and keeps the last of it."""

    def __init__(self, stream: IO[bytes], most: int = TAIL) -> None:
        """Begin at once."""
        super().__init__(daemon=True)
        self._stream, self._most, self._kept = stream, most, b""
        self.start()

    def run(self) -> None:
        """Read until the other side closes."""
        with contextlib.suppress(ValueError):  # closed under us
            while piece := self._stream.read(1 << 16):
                self._kept = (self._kept + piece)[-self._most :]

    def text(self, wait: float = 2.0) -> str:
        """What came last, once the stream has ended or `wait` seconds are over."""
        self.join(wait)
        return self._kept.decode(errors="replace").strip()


def quoted(words: Sequence[str]) -> str:
    """Words as a command of the shell."""
    return " ".join(map(shlex.quote, words))


def run(place: Place, script: str, timeout: float = 60.0) -> Completed:
    """Run a script of the POSIX shell with nothing to read.

    Raises:
        DeviceError: the device cannot be reached, took longer than `timeout` seconds, or writes without end.
        DeviceLostError: the connection broke before the script ended.
    """
    nonce = secrets.token_hex(8)
    # in a subshell: a script that exits still comes to the last line
    process = place.spawn(f"(\n{script}\n)\nprintf '\\n%s %s\\n' {nonce} $?")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    errors = Tail(process.stderr)
    late = threading.Timer(timeout, process.kill)
    late.start()
    try:
        with contextlib.suppress(OSError):
            process.stdin.close()
        said = _read(process.stdout, _MOST)
        if len(said) == _MOST:
            raise DeviceError(
                f"{place.where} answers without end, beginning with {said[:60]!r}",
                "see what its login shell prints: a script of ours got more than a megabyte back",
            )
        code = process.wait()
    finally:
        finished = late.is_alive()
        late.cancel()
        close(process)
    text, found, end = said.decode(errors="replace").rpartition(f"\n{nonce} ")
    if found and end.strip().isdecimal():
        return Completed(int(end), text, errors.text())
    if not finished:
        raise DeviceError(
            f"{place.where} gave no answer within {timeout:g} s",
            "see whether it is busy, or the network slow",
        )
    raise ended(place, code, errors.text())


def _read(stream: IO[bytes], most: int) -> bytes:
    """All of a stream, or its first `most` bytes: an unbuffered one gives what has come so far at each read."""
    said = bytearray()
    while len(said) < most and (piece := stream.read(most - len(said))):
        said += piece
    return bytes(said)


def ended(place: Place, code: int, stderr: str) -> DeviceError:
    """What to say of a connection that ended before the answer."""
    own = place.failure(code, stderr)
    if own is not None:
        return own
    said = f": {stderr.splitlines()[-1]}" if stderr else ""
    return DeviceLostError(
        f"the connection to {place.where} ended before the answer came{said}",
        "see whether the device is still there and awake, and run the command again",
    )


def close(process: subprocess.Popen[bytes]) -> None:
    """End a process and its streams, whatever state it is in."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
