"""What native libraries print past Python: kept off the terminal, and read.

libQnnHtp greets on standard output, and ONNX Runtime gives a logger to Python in no other way than by standard error.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_COLOURS: Final = re.compile(rb"\x1b\[[0-9;]*m")


@contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """Catch what is written to file descriptors 1 and 2; the result reads it, within the block or after it.

    The process's own: no other thread may print meanwhile. What was caught is lost where the process dies.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    text: list[str] = []
    with tempfile.TemporaryFile() as file:

        def read() -> str:
            if not text:
                file.seek(0)
                return _plain(file.read())
            return text[0]

        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield read
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            text.append(read())


def _plain(data: bytes) -> str:
    return _COLOURS.sub(b"", data).decode(errors="replace")
