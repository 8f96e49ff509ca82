"""Listen to a process that leads its own group, and end it when it breaks a limit."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Literal, Protocol

from edgevit.core.process.interrupt import shielded
from edgevit.core.process.memory import resident_bytes

_TICK_S = 0.25
_KEPT_LINES = 40
_CHUNK = 1 << 16


class Cancelled(BaseException):
    """The parent was interrupted while this process ran; never leaves `edgevit.core.process.worker`."""


class Running(Protocol):
    """A started process, the leader of its own group; what `subprocess.Popen` says of one."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Attributes:
        returncode: as subprocess gives it, negative for a signal.
        broken: the limit that it broke, which is why we ended it.
        last_lines: the end of what it wrote to stderr and stdout.
        seconds: wall clock.
        peak_bytes: highest resident size of the group that was seen.
    """

    returncode: int
    broken: Literal["timeout", "memory"] | None
    last_lines: tuple[str, ...]
    seconds: float
    peak_bytes: int


def watch(
    start: Callable[[int, int], Running],
    timeout_s: float,
    max_memory_bytes: int,
    on_line: Callable[[bytes], None],
    cancel: Event,
    progress_counts: bool,
) -> Ending:
    """Run a process to its end or to the first broken limit; nothing of its group is left behind.

    Args:
        start: starts it, given the ends of two pipes: for events, and for what it writes to stdout and stderr.
        on_line: gets each line of events, in the calling thread.
        progress_counts: each event starts the time anew.

    Raises:
        Cancelled: `cancel` was set.
    """
    (read_end, write_end), (text_end, output) = os.pipe(), os.pipe()
    started = told = time.monotonic()
    try:
        process = start(write_end, output)
    except BaseException:
        os.close(read_end)
        os.close(text_end)
        raise
    finally:
        os.close(write_end)
        os.close(output)
    events, text = _Lines(), _Lines()
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    peak = 0
    next_look = started
    broken: Literal["timeout", "memory"] | None = None

    def drain(fd: int) -> bool:
        data = os.read(fd, _CHUNK)
        for line in (events if fd == read_end else text).feed(data):
            if fd == read_end:
                on_line(line)
            else:
                kept.append(line.decode(errors="replace"))
        return bool(data)

    try:
        with selectors.DefaultSelector() as selector:
            for fd in (read_end, text_end):
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while True:
                ended = process.poll() is not None
                # After the end only what is already in the pipes is read: a grandchild may hold them open.
                ready = _select(selector, 0.0 if ended else _TICK_S)
                if progress_counts and read_end in ready:
                    told = time.monotonic()
                for fd in ready:
                    if not drain(fd):
                        selector.unregister(fd)
                if ended and not ready:
                    break
                now = time.monotonic()
                if ended or now < next_look:
                    continue
                next_look = now + _TICK_S
                peak = max(peak, resident_bytes(process.pid))
                if cancel.is_set():
                    raise Cancelled
                if peak > max_memory_bytes:
                    broken = "memory"
                elif now - told > timeout_s:
                    broken = "timeout"
                if broken is not None:
                    _kill(process)
    finally:
        with shielded():
            _kill(process)
            os.close(read_end)
            os.close(text_end)
    kept.extend(line.decode(errors="replace") for line in text.rest())
    return Ending(process.wait(), broken, tuple(kept), time.monotonic() - started, peak)


def _select(selector: selectors.BaseSelector, timeout: float) -> list[int]:
    if not selector.get_map():  # both pipes were closed by a process that still lives
        time.sleep(timeout)
        return []
    return [key.fd for key, _ in selector.select(timeout)]


def _kill(process: Running) -> None:
    """End the whole group, also what a dead leader left behind, and reap the leader."""
    if process.returncode is None or resident_bytes(process.pid):
        # The last one may have ended in the meantime; macOS says so with EPERM.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Lines:
    """Cuts a stream of bytes into lines; an endless line is cut at one chunk."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._open = (self._open + data).split(b"\n")
        if len(self._open) > 16 * _CHUNK:
            self._open = self._open[-_CHUNK:]
        return lines

    def rest(self) -> list[bytes]:
        return [self._open] if self._open else []
