"""Let steps be forked from a process that has imported the heavy libraries, instead of importing them anew.

    with forking():
        worker.run(...)  # those of its steps that may be

Linux alone: elsewhere libraries of the system do not survive a fork, and every step is a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import site
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from edgevit.core.errors import UsageError
from edgevit.core.process._server import MESSAGE_BYTES, SHARED, THREAD_VARIABLES, environment_digest
from edgevit.core.process.scratch import scratch

# What every step that has a model in PyTorch imports.
MODULES: Final = (
    *("torch", "torch.export.pt2_archive", "torch.export._trace", "torch.fx.experimental.proxy_tensor"),
    *("torch._inductor.ir", "numpy"),  # the former to read and write graphs
)
_ANSWER_S: Final = 120.0  # a busy machine imports for long

# Of this process: the flow starts it, and the worker below asks it, through many hands that need not know.
_control: socket.socket | None = None
_begin: Callable[[], socket.socket] | None = None
_lock: Final = threading.Lock()


@contextmanager
def forking(modules: Sequence[str] = MODULES) -> Iterator[None]:
    """Keep a server for what is run within; where one is shared or running, that one is used.

    It begins with the first step that asks for it: what the cache knows needs none.
    """
    global _control, _begin
    if sys.platform != "linux" or _begin is not None or SHARED in os.environ:
        yield
        return
    environment = step_environment()
    with ExitStack() as stack:
        _begin = lambda: stack.enter_context(serving(modules, environment))  # noqa: E731
        try:
            yield
        finally:
            _control = _begin = None


@contextmanager
def serving(modules: Sequence[str], environment: Mapping[str, str]) -> Iterator[socket.socket]:
    """Start a server, and give the socket on which it is asked; it ends when the last copy of that is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [
        sys.executable,
        "-P",
        "-m",
        "edgevit.core.process._server",
        ",".join(modules),
        str(theirs.fileno()),
    ]
    with scratch() as folder, closing(ours):  # what is imported may write to a temporary folder
        with closing(theirs):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**environment, "TMPDIR": str(folder)},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            yield ours
        finally:
            process.kill()
            process.wait()


def step_environment(
    threads: int = 0, folder: str = "", base: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What a step sees: the environment of its command, and its own folder for temporary files."""
    # What converters leave behind among temporary files, killed or not, goes with the folder.
    # ONNX Runtime 1.32 sends over the network what it was used for, unless it is told not to.
    # Threads of OpenMP that wait by spinning take the cores from those that work: beside two busy processes a
    # MobileViT's float reference took over twenty times as long.
    # Large pages for what is allocated: a fifth of a preparing step was the kernel handing out small ones.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    pages = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    environment = {
        "ORT_DISABLE_TELEMETRY": "1",
        **waiting,
        **pages,
        **base,
        **({"TMPDIR": folder} if folder else {}),
    }
    environment.pop(SHARED, None)  # the socket is not handed on
    if threads > 0:
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    root = str(Path(__file__).resolve().parents[3])
    if root not in site.getsitepackages():  # a checkout: the child must import this very copy
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH", ""))))
    return environment


class Forked:
    """A step that the server forked; see `_listen.Running`."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = channel

    def poll(self) -> int | None:
        """Its exit code if it has ended, negative for a signal."""
        return self._look(0.0)

    def wait(self) -> int:
        """Wait for its end."""
        code = self._look(None)
        assert code is not None
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                status = _number(self._told)
            except BlockingIOError:
                return None
            # The server ends before its steps only if somebody ended it, and then they go with it.
            self.returncode = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
            self._told.close()
        return self.returncode


def fork(environment: Mapping[str, str], folder: str, threads: int, events: int, text: int) -> Forked | None:
    """Ask for a process that calls `_child.main` with `folder`; None where a new one has to be started.

    Args:
        environment: what the step shall see.
        events, text: ends of pipes that it writes to.

    Raises:
        UsageError: EDGEVIT_SERVER names no socket.
    """
    control = _running() or _shared()
    if control is None:
        return None
    asked = {
        "environment": environment_digest(environment),
        "folder": folder,
        "directory": str(Path.cwd()),
        "threads": threads,
    }
    data = json.dumps(asked).encode()
    if len(data) > MESSAGE_BYTES:
        return None
    ours, theirs = socket.socketpair()
    try:
        with closing(theirs):
            socket.send_fds(control, [data], [events, text, theirs.fileno()])
        ours.settimeout(_ANSWER_S)
        pid = _number(ours)
    except OSError:  # it is gone, or does not answer: nothing but time is lost
        pid = None
    except BaseException:
        ours.close()
        raise
    if not pid:
        ours.close()
        return None
    return Forked(pid, ours)


def _running() -> socket.socket | None:
    """The socket of this process's own server, which is begun now if it is not there yet."""
    global _control
    with _lock:  # several steps may begin at once
        if _control is None and _begin is not None:
            _control = _begin()
        return _control


def _shared() -> socket.socket | None:
    given = os.environ.get(SHARED)
    return None if given is None else _inherited(given)


@cache
def _inherited(number: str) -> socket.socket:
    try:
        return socket.socket(fileno=int(number))
    except (ValueError, OSError) as error:
        raise UsageError(
            f"{SHARED}={number} is not the number of an open socket", f"unset {SHARED}"
        ) from error


def _number(channel: socket.socket) -> int | None:
    """The next line; None at the end. It is written at once, so that only its first byte may be missing."""
    line = b""
    while not line.endswith(b"\n"):
        byte = channel.recv(1)
        if not byte:
            return None
        line += byte
    return int(line)
