"""Where HTP programs are executed: on the emulator that Linux's wheel brings, or on the device itself.

The wheel of onnxruntime-qnn for Linux on x86-64 has a `libQnnHtp.so` that compiles for an architecture and executes
on the CPU what it compiled. On a Snapdragon the same library hands the program to the NPU; that path follows
Qualcomm's documentation and was never run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from typing import Final

from edgevit.core.require import require

EXTRA: Final = "qnn"
PACKAGE: Final = "onnxruntime_qnn"
GLIBC: Final = (2, 35)  # the tag of the wheel: manylinux_2_35

_X86: Final = ("x86_64", "amd64")
_ARM: Final = ("aarch64", "arm64")


def unavailable() -> str | None:
    """None if HTP programs are executed on this machine, else the reason in one sentence."""
    machine = platform.machine().lower()
    if not (_emulates(sys.platform, machine) or _is_device(sys.platform, machine)):
        return (
            "HTP is emulated on Linux on x86-64 and executed by Snapdragon under Linux or Windows, "
            f"this is {sys.platform} on {machine or 'an unknown processor'}"
        )
    if sys.platform == "linux" and (reason := _old_libc(_libc())) is not None:
        return reason
    missing = [n for n in ("onnxruntime", "onnx", PACKAGE) if importlib.util.find_spec(n) is None]
    return f"the Python package {missing[0]} is not installed" if missing else None


def emulated() -> bool:
    """Whether this machine's CPU plays the NPU."""
    return _emulates(sys.platform, platform.machine().lower())


def version() -> str:
    """Of onnxruntime-qnn."""
    return str(require(PACKAGE, EXTRA).__version__)


def _emulates(system: str, machine: str) -> bool:
    return system == "linux" and machine in _X86


def _is_device(system: str, machine: str) -> bool:
    return system in ("linux", "win32") and machine in _ARM


def _libc() -> str:
    """As the C library names itself: `glibc 2.36`; "" for one that is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # a name that only glibc knows
        return ""


def _old_libc(said: str) -> str | None:
    wanted = ".".join(map(str, GLIBC))
    found = re.fullmatch(r"glibc (\d+)\.(\d+)\S*", said)
    if found is None:
        return f"onnxruntime-qnn needs the C library glibc {wanted} or newer, this system has another one"
    if (int(found[1]), int(found[2])) < GLIBC:
        return f"onnxruntime-qnn needs the C library glibc {wanted} or newer, this system has {said}"
    return None
