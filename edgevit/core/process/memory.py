"""How much memory a process group holds right now, the most that this process ever held, and giving back."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

_PROC = Path("/proc")


def resident_bytes(group: int) -> int:
    """Sum of the resident sizes of all processes of one process group; 0 when none is left."""
    return _from_proc(group) if (_PROC / "self/stat").exists() else _from_ps(group)


def peak_bytes() -> int:
    """Highest resident size of this process so far, mapped files included."""
    status = _PROC / "self/status"
    if status.exists():  # ru_maxrss would start with what the parent held when it forked
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def give_back() -> None:
    """Let the system have what was freed: glibc keeps it, gigabytes after the backward passes of a ViT-S."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _from_proc(group: int) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or it is somebody else's and so not in our group
        # The command name stands in parentheses and may hold spaces: count fields from behind it.
        fields = text.rpartition(")")[2].split()
        if int(fields[2]) == group:
            total += int(fields[21]) * page
    return total


def _from_ps(group: int) -> int:
    listed = subprocess.run(["ps", "-axo", "pgid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return sum(int(row[1]) * 1024 for row in rows if len(row) == 2 and int(row[0]) == group)
