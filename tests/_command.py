"""The command line as a process of its own, as users and scripts call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def without_progress(told: str) -> str:
    """What stands on stderr besides the lines of finished stages."""
    return "".join(line for line in told.splitlines(keepends=True) if not line.startswith("✓ "))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgevit", *map(str, arguments)]


def environment(**changes: str | Path) -> dict[str, str]:
    """Of a machine without network: nothing is downloaded, and nobody tries for long."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", **{name: str(value) for name, value in changes.items()}}


def edgevit(*arguments: str | Path, **changes: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command in the checkout to its end; `changes` are environment variables."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment(**changes), timeout=900
    )
