"""What a process says, read within limits: of bytes, however much it says, and of time."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import IO, Final

_KEPT: Final = 16 << 10
_CHUNK: Final = 64 << 10


class Tail:
    """Reads a stream in the background to its end and keeps the last 16 KiB, so that its writer never waits."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = piped(stream)
        self._kept = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def text(self, wait: float = 2.0) -> str:
        """What was kept; at most `wait` seconds are spent on an end that is still to come."""
        self._reader.join(wait)
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), _CHUNK):
                self._kept = (self._kept + chunk)[-_KEPT:]


def piped(stream: IO[bytes] | None) -> IO[bytes]:
    """The stream itself.

    Raises:
        ValueError: its process was started without a pipe for it.
    """
    if stream is None:
        raise ValueError("a process was started without this pipe")
    return stream


def read(stream: IO[bytes], seconds: float) -> bytes:
    """What there is of it, 64 KiB at most; nothing at its end, or if nothing comes in time."""
    ready, _, _ = select.select([stream], [], [], max(seconds, 0.0))
    return os.read(stream.fileno(), _CHUNK) if ready else b""


def read_to(
    stream: IO[bytes], mark: bytes, seconds: float, limit: int, begun: bytes = b""
) -> tuple[bytes, bytes]:
    """What comes before `mark` and what was read behind it; without the mark, all that came, and nothing.

    Args:
        limit: bytes to read; a few more may be returned.
        begun: what was read before.
    """
    heard, until = bytearray(begun), time.monotonic() + seconds
    while (at := heard.find(mark)) < 0 and len(heard) < limit:
        chunk = read(stream, until - time.monotonic())
        if not chunk:
            break
        heard += chunk
    return (bytes(heard), b"") if at < 0 else (bytes(heard[:at]), bytes(heard[at + len(mark) :]))
