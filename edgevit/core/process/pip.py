"""pip of this environment, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Final

from edgevit.core.errors import MissingDependencyError, StepError

_SECONDS: Final = 900.0


def pip(*words: str, hint: str) -> subprocess.CompletedProcess[str]:
    """Run pip with these words; whether it did what was asked, its exit status says.

    Args:
        hint: what to do where it cannot be run.

    Raises:
        MissingDependencyError: this environment has no pip.
        StepError: it did not end.
    """
    if find_spec("pip") is None:
        raise MissingDependencyError(
            "this environment has no pip, which downloads wheels", "python -m ensurepip"
        )
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"pip {words[0]} did not end within {_SECONDS:g} s", hint) from error


def refuse_without_network(done: subprocess.CompletedProcess[str], hint: str) -> None:
    """Without an index pip says that there is no such package; only its warnings tell.

    Raises:
        StepError: it could not reach its index.
    """
    if "Retrying (" in done.stderr or "Could not fetch URL" in done.stderr:
        raise StepError("pip has no connection to its package index", hint)


def last_error(done: subprocess.CompletedProcess[str]) -> str:
    """What it said at last."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
    return errors[-1].removeprefix("ERROR: ")[-300:]
