"""Where a report was made."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from edgevit.core.requirements import requirements
from edgevit.core.results.report import Environment


def environment() -> Environment:
    """Versions of edgevit and of the packages it uses, system, processor and cores."""
    versions = {"edgevit": _version("edgevit"), "python": platform.python_version()}
    versions |= {r.package: _version(r.package) for r in requirements() if r.extra != "dev"}
    return Environment(
        versions={name: version for name, version in versions.items() if version},
        system=platform.platform(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    """Name of the processor; /proc/cpuinfo knows it on Linux, where platform.processor() is empty."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
