"""Ctrl-C while something is cleaned up waits until that is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back within it: a second Ctrl-C must leave neither processes nor folders.

    Raises:
        KeyboardInterrupt: behind the block, if one of them came in the meantime.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # None is a handler that Python did not install; SIG_IGN stays as it is.
    held = [number for number, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    for number in held:
        signal.signal(number, lambda sent, frame: came.append(sent))
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, before[number])
        if came:
            raise KeyboardInterrupt
