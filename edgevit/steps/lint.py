"""The step that holds one file against one accelerator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgevit.core.progress import Emit
from edgevit.core.results.lint import LintReport
from edgevit.registries import CHECKERS


@dataclass(frozen=True, slots=True)
class LintRequest:
    """Which file, and what to hold it against.

    Attributes:
        shown: what the report calls the file.
        checker: name of the plug-in.
        backend: what was typed for it, such as `qnn-v75`.
    """

    path: str
    shown: str
    checker: str
    backend: str


def lint(asked: LintRequest, emit: Emit) -> LintReport:
    """Ask the checker. Runs in a worker: a vendor's compiler may do anything."""
    found = CHECKERS.get(asked.checker).check(Path(asked.path), asked.backend)
    return replace(found, artifact=asked.shown)
