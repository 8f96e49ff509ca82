"""Whether this processor is only played by another one, so that times mean nothing."""

from __future__ import annotations

import os

from .state import read


def emulated() -> str:
    """What plays it, "" on real hardware.

    qemu's user mode shows a process its own /proc entries as the device would have them, but those of others as they
    are: the parent of this process is then a program called qemu.
    """
    parent = f"/proc/{os.getppid()}"
    try:
        program = os.path.basename(os.readlink(parent + "/exe"))
    except OSError:
        program = ""
    if "qemu" in program or "qemu" in read(parent + "/cmdline").split("\0")[0]:
        return "qemu user mode"
    return ""
