"""JSON, one message a line, each behind a word that nobody else knows: a banner or a warning is never an answer."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any, Dict

Message = Dict[str, Any]
# Of one line. Requests name files and digests; pixels travel as files.
LONGEST = 4 << 20


def private_stdout() -> IO[bytes]:
    """This process's standard output, for messages alone: whatever else is printed goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb", buffering=0)


class Sender:
    """Writes messages; several threads may."""

    def __init__(self, stream: IO[bytes], nonce: str) -> None:
        """Args: the stream, and the word that begins each line."""
        self._stream, self._nonce, self._lock = stream, nonce, threading.Lock()

    def send(self, message: Message) -> None:
        """One line.

        Raises:
            ValueError: a number that JSON has no word for.
            BrokenPipeError: nobody listens any more.
        """
        line = self._nonce + " " + json.dumps(message, allow_nan=False, separators=(",", ":")) + "\n"
        data = line.encode()
        with self._lock:
            while data:
                data = data[self._stream.write(data) :]


def lines(stream: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines of a stream as they come, each with whether it is whole; one beyond LONGEST comes in pieces."""
    while True:
        line = stream.readline(LONGEST)
        if not line:
            return
        yield line, line.endswith(b"\n")


def requests(stream: IO[bytes]) -> Iterator[Message]:
    """Messages without a nonce, from who started this process.

    Raises:
        ValueError: a line that is none.
    """
    for line, whole in lines(stream):
        if not whole:
            raise ValueError(f"a request of more than {LONGEST} bytes, or a broken one")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a request is an object")
        yield message
