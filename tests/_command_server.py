"""A process that has imported the command line once, and becomes `python -m edgevit ARGUMENTS` in a fork of itself.

A command imports for half a second before it does anything, and the tests call hundreds. `tests._command` starts it as
`python -m tests._command_server SOCKET`. A message is a JSON object (`arguments`, `environment`) and four handles: what
stdout and stderr shall be, the socket of `edgevit.core.process.forking` that its steps are asked of, and a socket on
which its wait status is written. One command at a time.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import tempfile
import traceback
from typing import Any, Final, NoReturn

import edgevit
import edgevit.cli
from edgevit import registries
from edgevit.core.process._server import MESSAGE_BYTES, SHARED
from edgevit.core.registry import Registry

# What a command imports when it runs: its own steps are processes of their own, so that nothing heavy is among it.
_PACKAGES: Final = ("core", "commands", "flows", "validate", "report", "devices", "agent")
_LIBRARIES: Final = ("pydantic", "rich.console", "rich.progress", "rich.table", "typer._adapters", "zoneinfo")


def main(number: int) -> None:
    control = socket.socket(fileno=number)
    for name in (*_LIBRARIES, *_modules()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while data := socket.recv_fds(control, MESSAGE_BYTES, 4):
        text, handles, _, _ = data
        if not text:  # nobody can ask any more
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(json.loads(text), handles)
            _end(_code())
        for handle in handles[:3]:
            os.close(handle)
        with socket.socket(fileno=handles[3]) as asker:
            asker.sendall(b"%d" % os.waitpid(pid, 0)[1])


def _code() -> int:
    """Run the command; what `sys.exit` would make of how it ends."""
    try:
        edgevit.cli.main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    return 1


def _end(code: int) -> NoReturn:
    """As Python does, but for tearing down a thousand modules."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def plugins() -> list[str]:
    """Their modules, none of which imports anything heavy."""
    kinds = [kind for kind in vars(registries).values() if isinstance(kind, Registry)]
    return [f"{kind.package}.{name}" for kind in kinds for name in kind.own()]


def _modules() -> list[str]:
    found = []
    for package in _PACKAGES:
        path = importlib.import_module(f"edgevit.{package}").__path__
        found += [module.name for module in pkgutil.walk_packages(path, f"edgevit.{package}.")]
    return [name for name in (*found, *plugins()) if not name.endswith("__main__")]


def _become(asked: dict[str, Any], handles: list[int]) -> None:
    stdout, stderr, server, asker = handles
    os.close(asker)
    for stream, handle in ((1, stdout), (2, stderr)):
        os.dup2(handle, stream)
        os.close(handle)
    tempfile.tempdir = None
    os.environ.clear()
    os.environ.update({**asked["environment"], SHARED: str(server)})
    sys.argv = [f"{edgevit.__path__[0]}/__main__.py", *asked["arguments"]]


if __name__ == "__main__":
    main(int(sys.argv[1]))
