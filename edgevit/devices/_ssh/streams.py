"""What a process says, read within limits of bytes and of time."""

from __future__ import annotations

import os
import select
import time
from typing import IO, Final

_CHUNK: Final = 64 << 10


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
