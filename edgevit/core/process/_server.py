"""A process that has imported the heavy libraries once, and is forked for each step.

Importing PyTorch and its exporter takes seconds, much of the time of a small model's step. Called as
`python -P -m edgevit.core.process._server MODULES CONTROL`: names separated by commas, and the number of a socket that
keeps messages apart. A message asks for one step. It is a JSON object (`environment`, `folder`, `directory`,
`threads`) and carries three handles: the writing ends of the pipes for events and for text, and a socket on which

    the server writes the number of the process, or 0: in the client's environment libraries might import otherwise
    the server writes its wait status, when it has ended
    the client closes its end, which ends the process group of the step

The server has no thread of its own and executes no step itself, so that a fork is as clean as a new process. When
nobody can ask any more, it ends.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from edgevit.core.process import _child

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Number of an inherited control socket, for many commands of one caller that share a server.
SHARED: Final = "EDGEVIT_SERVER"
MESSAGE_BYTES: Final = 1 << 16
# What a step sets for itself, and what shells change from one command to the next.
_OWN: Final = frozenset({"TMPDIR", *THREAD_VARIABLES, "_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES"})


def environment_digest(environment: Mapping[str, str]) -> str:
    """SHA-256 of all that a library may have looked at while it was imported."""
    kept = sorted((name, value) for name, value in environment.items() if name not in _OWN)
    return hashlib.sha256(json.dumps([sys.executable, kept]).encode()).hexdigest()


def main(arguments: list[str]) -> None:
    modules, control = arguments[0], socket.socket(fileno=int(arguments[1]))
    for number in (signal.SIGINT, signal.SIGTERM):  # of the terminal: the client decides what ends
        signal.signal(number, signal.SIG_IGN)
    given = dict(os.environ)
    for name in filter(None, modules.split(",")):
        with contextlib.suppress(ImportError):  # the step that needs it says so
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    _Server(control, given).serve()


class _Server:
    def __init__(self, control: socket.socket, given: Mapping[str, str]) -> None:
        self._environment = given
        self._digest = environment_digest(given)
        self._control = control
        control.set_inheritable(False)
        self._steps: dict[int, socket.socket] = {}
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._selector = selectors.DefaultSelector()
        for ready in (control, self._woken):
            self._selector.register(ready, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                found = key.fileobj
                if found is self._control:
                    self._hear()
                elif found is self._woken:
                    self._woken.recv(MESSAGE_BYTES)
                    self._reap()
                elif isinstance(found, socket.socket):  # nothing is ever written there: its client is gone
                    for pid in [pid for pid, client in self._steps.items() if client is found]:
                        _end_group(pid)
                    self._close(found)

    def _hear(self) -> None:
        text, handles, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 3)
        if not text:
            for pid in self._steps:
                _end_group(pid)
            os._exit(0)
        *pipes, number = handles
        client = socket.socket(fileno=number)
        pid = self._fork(json.loads(text), pipes, client)
        for handle in pipes:
            os.close(handle)
        if pid == 0:
            _tell(client, 0)
            client.close()
            return
        self._steps[pid] = client
        self._selector.register(client, selectors.EVENT_READ)
        _tell(client, pid)

    def _fork(self, asked: dict[str, object], pipes: list[int], client: socket.socket) -> int:
        if asked["environment"] != self._digest:
            return 0
        server = os.getpid()
        ready, leads = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                os.close(leads)
                os.close(ready)
                client.close()
                self._leave()
                _become(asked, self._environment, pipes, server)
            finally:
                os._exit(1)
        os.close(leads)
        os.read(ready, 1)  # the client may end its group from now on, so there must be one
        os.close(ready)
        return pid

    def _leave(self) -> None:
        """In the fork: nothing of the server stays."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for connection in (self._control, self._woken, self._waker, *self._steps.values()):
            connection.close()

    def _reap(self) -> None:
        while self._steps:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            client = self._steps.pop(pid)
            _tell(client, status)
            if client.fileno() >= 0:
                self._close(client)

    def _close(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        client.close()


def _become(asked: dict[str, Any], environment: Mapping[str, str], pipes: list[int], server: int) -> None:
    """Be what a new process of `_child` is."""
    events, text = pipes
    nothing = os.open(os.devnull, os.O_RDONLY)
    for stream, handle in ((0, nothing), (1, text), (2, text)):
        os.dup2(handle, stream)
    for handle in (nothing, text):
        os.close(handle)
    os.chdir(asked["directory"])
    threads = asked["threads"]
    if threads:
        _limit_threads(threads)
    os.environ.clear()  # libraries add to it while they are imported
    os.environ.update(environment)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {})
    os.environ["TMPDIR"] = asked["folder"]
    tempfile.tempdir = None
    _child.main([asked["folder"], str(server), str(events)])


def _limit_threads(threads: int) -> None:
    """Of the libraries that are there already; those that come later read the variables."""
    importlib.import_module("threadpoolctl").threadpool_limits(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def _tell(client: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more, or we closed it
        client.sendall(f"{number}\n".encode())


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
