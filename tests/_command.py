"""The command line as a process of its own, as users and scripts call it."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Final

from edgevit import registries
from edgevit.core.process import forking
from edgevit.core.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
# Besides what a conversion's own server imports: what a hundred commands would each import anew, the converters too.
_LIBRARIES: Final = (
    *("timm", "safetensors.torch", "pydantic", "scipy.cluster", "scipy.optimize", "tests._quick_torch"),
    *("onnx", "onnxscript.function_libs.torch_lib", "torch.onnx._internal.exporter._torchlib"),
    *("litert_torch", "coremltools"),
)
_STEPS: Final = tuple(f"edgevit.steps.{name}" for name in ("prepare", "build", "execute", "diff.compare"))
_PARTS: Final = ("edgevit.graph.export", "edgevit.quant.plan", "edgevit.quant.reconstruct")


def _plugins() -> list[str]:
    kinds = [kind for kind in vars(registries).values() if isinstance(kind, Registry)]
    return [f"{kind.package}.{name}" for kind in kinds for name in kind.own()]


_MODULES: Final = (*forking.MODULES, *_LIBRARIES, *_STEPS, *_PARTS, *_plugins())


def without_progress(told: str) -> str:
    """What stands on stderr besides the lines of finished stages."""
    return "".join(line for line in told.splitlines(keepends=True) if not line.startswith("✓ "))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgevit", *map(str, arguments)]


def environment(**changes: str | Path) -> dict[str, str]:
    """Of a machine without network: nothing is downloaded, and nobody tries for long."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**given, "HF_HUB_OFFLINE": "1", **{name: str(value) for name, value in changes.items()}}


def edgevit(*arguments: str | Path, **changes: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command in the checkout to its end; `changes` are environment variables.

    All of them share a process that has imported the libraries, from which their steps are forked. With
    `changes` that a library might look at, the steps are started anew.
    """
    shared = server()
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**changes, **{forking.SHARED: str(shared)}),
        timeout=900,
        pass_fds=(shared,),
    )


def server() -> int:
    """Descriptor of the process that all commands share, for a test that has something else start them."""
    return _server().fileno()


@cache
def _server() -> socket.socket:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forking.serving(_MODULES, forking.step_environment(base=environment())))
