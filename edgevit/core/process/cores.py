"""How many processor cores this process may really use.

`os.cpu_count` tells those of the machine. A container is often given fewer, in one of two ways: its processes are bound
to some of them (affinity, cpusets), or their processor time is limited (a quota for each period of the control group).
Threads beyond that only take turns.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


def usable_cores(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Cores that the scheduler gives this process, at least 1.

    Args:
        groups: where the control groups are mounted.
        membership: which of them this process belongs to, as Linux tells it.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    bound = len(os.sched_getaffinity(0))
    return max(1, min([bound, *(int(quota) for quota in _quotas(groups, membership))]))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """Cores' worth of time that each control group around this process allows, of version 2 and of version 1."""
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            root, read = groups, _quota_v2
        elif "cpu" in controllers.split(","):
            root, read = groups / "cpu", _quota_v1
        else:
            continue
        folder = root / path.strip("/")
        for place in (folder, *folder.parents):
            quota = read(place)
            if quota is not None:
                yield quota
            if place == root:
                break


def _quota_v2(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    return float(words[0]) / float(words[1]) if len(words) == 2 and words[0].isdigit() else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return float(quota) / float(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # no such group, or not ours to read: then it does not limit us that we know of
        return ""
