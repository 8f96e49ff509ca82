"""Whether the processor is played by a program: results are right there, and times say nothing.

Emulators of single programs, such as qemu's user mode, hide themselves: they answer `/proc/self/exe` and
`/proc/PID/exe` with the emulated program. They do not know `/proc/thread-self`, the same link by another way, so there
the kernel names the program that really runs.
"""

from __future__ import annotations

import os
import sys

from .state import output

# Part of the program's name in lower case -> what people call it.
_EMULATORS = (
    ("qemu", "qemu user mode"),
    ("-binfmt", "qemu user mode"),  # Debian's name for it
    ("rosetta", "Rosetta"),
    ("box64", "Box64"),
    ("fexinterpreter", "FEX"),
)


def emulated(proc: str = "/proc") -> str:
    """Name of the emulator that this process runs under, "" for none that can be seen.

    A virtual machine is none: its programs run on the processor itself.

    Args:
        proc: where the kernel's file system is, for tests.
    """
    hidden, seen = _link(proc, "thread-self"), _link(proc, "self")
    if hidden and seen and hidden != seen:
        return emulator(hidden)
    if sys.platform == "darwin" and output("sysctl", "-n", "sysctl.proc_translated") == "1":
        return "Rosetta"
    # Android's own emulator says so under the one name or the other, by its age.
    if hasattr(sys, "getandroidapilevel") or os.path.exists("/system/bin/getprop"):
        for name in ("ro.boot.qemu", "ro.kernel.qemu"):
            if output("getprop", name) == "1":
                return "Android emulator"
    return ""


def emulator(program: str) -> str:
    """What people call an emulator, by the path of its program; its file name where it is not known."""
    name = program.rsplit("/", 1)[-1]
    for part, called in _EMULATORS:
        if part in name.lower():
            return called
    return name


def _link(proc: str, which: str) -> str:
    try:
        return os.readlink(f"{proc}/{which}/exe")
    except OSError:  # no /proc, or a kernel before 3.17
        return ""
