"""Functions that the worker tests call in a fresh process."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevit.core.errors import InputError
from edgevit.core.progress import Advance, Emit, Stage


def double(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    print("a library that prints")
    for step in range(3):
        emit(Advance(step))
    return {"value": request["value"] * 2, "pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}


def plod(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Takes a second and a half in all, and tells of it every tenth."""
    for _ in range(15):
        time.sleep(0.1)
        emit(Advance())
    return {"pid": os.getpid()}


def litter(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Leaves a temporary file behind, as killed converters do."""
    handle, path = tempfile.mkstemp()
    os.close(handle)
    return {"path": path}


def look(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """What this process is made of."""
    proc = Path("/proc/self")
    return {
        "preloaded": "colorsys" in sys.modules,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "tasks": len(list((proc / "task").iterdir())),
        "handles": len(list((proc / "fd").iterdir())),
        "temporary": tempfile.gettempdir(),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "limits": [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CORE)],
        "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "path": sys.path,
    }


def write_outside(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    try:
        Path(request["outside"]).write_text("x")
    except OSError:
        return {"written": False}
    return {"written": True}


def limits(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return {
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "address": resource.getrlimit(resource.RLIMIT_AS)[0],
        "own_session": os.getsid(0) == os.getpid(),
    }


def abort(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    print("just before the abort", file=sys.stderr, flush=True)
    os.abort()


def segfault(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def leave(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    os._exit(7)


def call_exit(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    sys.exit(0)


def hang(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Hangs together with a grandchild, whose process ids are told first."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    if "pids" in request:
        Path(request["pids"]).write_text(f"{os.getpid()} {other.pid}")
    emit(Stage(f"{os.getpid()} {other.pid}"))
    time.sleep(60)
    return {}


def hog(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    kept = []
    while True:
        kept.append(b"x" * (16 << 20))
        time.sleep(0.02)


def reserve(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return {"size": len(bytearray(request["bytes"]))}


def bad_input(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise InputError("cat.jpg is not an image", "remove it")


def foreign(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise ValueError("operator aten.foo is unknown\nand a second line")


def full_disk(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    Path(request["path"]).write_bytes(bytes(4096))
    return {}


def not_plain_data(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return {"value": object()}


def reach_out(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Try to leave the sandbox in all ways; each is "done" or the class of its error."""
    outside, kept, folder = Path(request["outside"]), Path(request["kept"]), Path(request["folder"])
    mine = Path(tempfile.mkdtemp())

    def send(kind: socket.SocketKind) -> None:
        with socket.socket(socket.AF_INET, kind) as found:
            found.settimeout(5)
            found.connect(("127.0.0.1", request["port"]))
            found.send(b"hello")

    attempts: dict[str, Callable[[], object]] = {
        "create": lambda: (outside / "new").write_text("x"),
        "change": lambda: kept.write_text("x"),
        "append": lambda: kept.open("a").write("x"),
        "truncate": lambda: os.truncate(kept, 0),
        "remove": lambda: kept.unlink(),
        "rename": lambda: kept.rename(outside / "other"),
        "link": lambda: (outside / "link").symlink_to("/"),
        "link of its own": lambda: (folder / "link").symlink_to(outside),
        "folder": lambda: (outside / "folder").mkdir(),
        "move in": lambda: shutil.move(kept, mine / "stolen"),
        "by another program": lambda: subprocess.run(
            ["touch", outside / "new"], check=True, capture_output=True
        ),
        "tcp": lambda: send(socket.SOCK_STREAM),
        "udp": lambda: send(socket.SOCK_DGRAM),
        "own scratch": lambda: (mine / "new").write_text("x"),
        "given folder": lambda: (folder / "new").write_text("x"),
        "null": lambda: Path(os.devnull).write_text("x"),
        "read": lambda: kept.read_text(),
        "cache": lambda: Path(os.environ.get("XDG_CACHE_HOME", mine)).mkdir(exist_ok=True),
    }
    told = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            told[name] = "done"
        except (OSError, subprocess.CalledProcessError) as error:
            told[name] = type(error).__name__
    status = Path("/proc/self/status").read_text() if sys.platform == "linux" else "CapPrm:\t0"
    return {"told": told, "user": os.getuid(), "capabilities": int(status.split("CapPrm:")[1].split()[0], 16)}
