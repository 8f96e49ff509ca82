"""The command line as a process of its own, as users and scripts call it."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from edgevit.core.process import forking
from edgevit.core.process._server import MESSAGE_BYTES, environment_digest
from tests._command_server import plugins
from tests._given import left_behind

_TIMEOUT_S: Final = 900.0
ROOT = Path(__file__).resolve().parents[1]
# Besides what a conversion's own server imports: what a hundred commands would each import anew, the converters too.
_LIBRARIES: Final = (
    *("timm", "safetensors.torch", "pydantic", "scipy.cluster", "scipy.optimize", "tests._quick_torch"),
    *("onnx", "onnxscript.function_libs.torch_lib", "torch.onnx._internal.exporter._torchlib"),
    *("litert_torch", "coremltools"),
)
_STEPS: Final = tuple(f"edgevit.steps.{name}" for name in ("prepare", "build", "execute", "diff.compare"))
_PARTS: Final = ("edgevit.graph.export", "edgevit.quant.plan", "edgevit.quant.reconstruct")
_MODULES: Final = (*forking.MODULES, *_LIBRARIES, *_STEPS, *_PARTS, *plugins())


def without_progress(told: str) -> str:
    """What stands on stderr besides the lines of finished stages."""
    return "".join(line for line in told.splitlines(keepends=True) if not line.startswith("✓ "))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgevit", *map(str, arguments)]


def environment(**changes: str | Path) -> dict[str, str]:
    """Of a machine without network: nothing is downloaded, and nobody tries for long."""
    given = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name not in left_behind
    }
    return {**given, "HF_HUB_OFFLINE": "1", **{name: str(value) for name, value in changes.items()}}


def edgevit(*arguments: str | Path, **changes: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command in the checkout to its end; `changes` are environment variables.

    All of them share a process that has imported the libraries, from which their steps are forked, and are forked
    themselves from one that has imported the command line. With `changes` that a library might look at, the command
    is started anew, and has a server of its own.
    """
    around = environment(**changes)
    commands = _commands()
    if environment_digest(around) != commands.digest:
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, cwd=ROOT, env=around, timeout=_TIMEOUT_S
        )
    return commands.run([str(argument) for argument in arguments], around)


def server() -> int:
    """Descriptor of the process that all commands share, for a test that has something else start them."""
    return _server().fileno()


@contextmanager
def steps_forked() -> Iterator[None]:
    """What is called within the process of the tests has its steps forked as well, as if it were a command."""
    before = dict(os.environ)
    around = {**environment(), forking.SHARED: str(_server_here())}
    try:
        _become(around)
        yield
    finally:
        _become(before)


def _become(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


@cache
def _server_here() -> int:
    """The process that asks it makes a socket of its own of it."""
    return os.dup(server())


@dataclass(frozen=True)
class _Commands:
    """The process of `_command_server`, and the environment that it was started in."""

    control: socket.socket
    digest: str

    def run(self, arguments: list[str], around: dict[str, str]) -> subprocess.CompletedProcess[str]:
        asked = json.dumps({"arguments": arguments, "environment": around}).encode()
        assert len(asked) <= MESSAGE_BYTES
        ours, theirs = socket.socketpair()
        with ours, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
            with theirs:
                handles = [stdout.fileno(), stderr.fileno(), server(), theirs.fileno()]
                socket.send_fds(self.control, [asked], handles)
            ours.settimeout(_TIMEOUT_S)
            status = int(ours.recv(16))  # an error if the process is gone
            stdout.seek(0)
            stderr.seek(0)
            code = os.waitstatus_to_exitcode(status)
            return subprocess.CompletedProcess(command(*arguments), code, stdout.read(), stderr.read())


@cache
def _commands() -> _Commands:
    around = environment()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests._command_server", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=around,
            pass_fds=(theirs.fileno(),),
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # first: what is registered last
    return _Commands(ours, environment_digest(around))


@cache
def _server() -> socket.socket:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forking.serving(_MODULES, forking.step_environment(base=environment())))
