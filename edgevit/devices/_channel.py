"""Messages to and from an agent: one question at a time, and nothing that it did not say is taken for its answer."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, Final

from edgevit.core.errors import DeviceError, DeviceLostError, EdgevitError
from edgevit.core.place import Place
from edgevit.core.process.interrupt import shielded
from edgevit.devices._shell import Tail, close, ended, quoted

Message = dict[str, object]
Told = Callable[[Message], None]

# Of one line of the agent: a hundred thousand times of a run are 2 MB.
_LONGEST: Final = 32 << 20
_MOST_NOISE: Final = 1 << 20
# How often the agent is told that we are there.
_ALIVE_SECONDS: Final = 5.0


class Channel:
    """The streams of an agent that was started with a nonce, the word that begins each of its messages."""

    def __init__(self, place: Place, process: subprocess.Popen[bytes], nonce: str) -> None:
        """Begin to listen, and to say that we are there."""
        assert process.stdout is not None and process.stderr is not None
        self.place = place
        self._process = process
        self._messages: queue.Queue[Message | EdgevitError | None] = queue.Queue()
        self._errors = Tail(process.stderr)
        self._number = 0
        self._writing = threading.Lock()
        self._closing = threading.Event()
        threading.Thread(target=self._keep_alive, daemon=True).start()
        listener = threading.Thread(
            target=self._listen, args=(process.stdout, nonce.encode() + b" "), daemon=True
        )
        listener.start()

    def call(self, op: str, timeout: float, told: Told | None = None, **fields: object) -> Message:
        """Ask one thing and wait for the answer, at most `timeout` seconds.

        Args:
            told: hears of progress on the way.

        Raises:
            DeviceError: the agent could not do it, says what no agent of ours says, or is silent.
            DeviceLostError: the connection broke.
        """
        self._number += 1
        request = {"id": self._number, "op": op, "timeout": timeout, **fields}
        try:
            self._send(request)
        except OSError:
            raise self._ended() from None
        until = time.monotonic() + timeout + 30.0  # the agent ends a task in time itself, and says so
        while True:
            try:
                message = self._messages.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                raise DeviceLostError(
                    f"{self.place.where} has been silent for {timeout + 30:g} s",
                    "see whether the device is still there; --timeout gives it longer",
                ) from None
            if message is None:
                raise self._ended()
            if isinstance(message, EdgevitError):
                raise message
            if message.get("id") not in (self._number, None):
                continue
            if "progress" in message:
                progress = message["progress"]
                if told is not None and isinstance(progress, dict):
                    told(progress)
                continue
            if "error" in message:
                raise self._failed(message["error"])
            return message

    def fail(self, error: EdgevitError) -> None:
        """Let whoever waits for an answer, or asks next, have this error in its place."""
        self._messages.put(error)

    def close(self) -> None:
        """Let the agent clean up and leave, whatever it is doing; at most a few seconds."""
        with shielded():
            self._closing.set()
            stdin = self._process.stdin
            with contextlib.suppress(OSError):
                if stdin is not None:
                    stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            close(self._process)

    def _failed(self, error: object) -> DeviceError:
        """What the agent says went wrong there."""
        told = error if isinstance(error, dict) else {}
        kind, message = str(told.get("kind")), str(told.get("message"))[:2000]
        where, hint = self.place.where, ""
        if kind == "damaged":
            return DeviceLostError(f"on {where}: {message}", "see whether the connection is sound")
        if kind == "missing":
            message = f"{where} lacks a Python package: {message}"
            hint = f"edgevit doctor --device {quoted([where])} says which, --setup installs the runtime there"
        elif kind == "busy":
            message, hint = (
                f"{where}: {message}",
                "wait until it is done; two at once would disturb each other",
            )
        elif kind == "timeout":
            message, hint = f"{where}: {message}", "give it longer with --timeout, or fewer images or runs"
        else:
            stderr = str(told.get("stderr", "")).strip()
            last = f" ({stderr.splitlines()[-1][:300]})" if stderr else ""
            message = f"on {where}: {message}{last}"
            hint = f"see what the device lacks: edgevit doctor --device {quoted([where])}"
        return DeviceError(message, hint)

    def _ended(self) -> DeviceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        return ended(self.place, 0 if code is None else code, self._errors.text())

    def _send(self, request: Message) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with self._writing:
            _write(stdin, json.dumps(request).encode() + b"\n")

    def _keep_alive(self) -> None:
        """Let the agent know that we are there: it leaves when it hears nothing, as behind a link that is dead."""
        with contextlib.suppress(OSError, ValueError):  # ended, or closed
            while not self._closing.wait(_ALIVE_SECONDS):
                self._send({"op": "alive"})

    def _listen(self, stream: IO[bytes], prefix: bytes) -> None:
        """Queue the agent's messages until its output ends."""
        noise = 0
        buffered = _Lines(stream)
        while True:
            line = buffered.next()
            if line is None:
                self._messages.put(None)
                return
            if not line.startswith(prefix):
                noise += len(line)
                if noise > _MOST_NOISE:
                    self._messages.put(self._nonsense(f"more than a megabyte of it, at last {line[-60:]!r}"))
                    return
                continue
            try:
                message = json.loads(line[len(prefix) :])
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                self._messages.put(self._nonsense(repr(line[len(prefix) :][:60])))
                return
            self._messages.put(message)

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(
            f"{self.place.where} sends what is no answer of our agent: {what}",
            "see what the login shell there prints, and whether our folder there was changed: "
            f"{self.place.root}",
        )


class _Lines:
    """Lines of a raw stream; one that does not end within _LONGEST comes as it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._buffer = stream, bytearray()

    def next(self) -> bytes | None:
        """One line, None at the end; what stands behind the last line end is no line."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > _LONGEST:
                break
            try:
                piece = self._stream.read(1 << 16)
            except (OSError, ValueError):
                piece = b""
            if not piece:
                return None
            self._buffer += piece
        end = end if end >= 0 else len(self._buffer)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


def _write(stream: IO[bytes], data: bytes) -> None:
    while data:
        data = data[stream.write(data) :]
