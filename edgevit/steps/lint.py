"""Which checker a name asks for, and the step that holds one file against one accelerator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgevit.core.errors import UsageError, nearest
from edgevit.core.plugins import Checker
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


def checker_of(backend: str) -> tuple[str, Checker]:
    """The plug-in that knows what was typed, and its name.

    Raises:
        UsageError: none does.
    """
    known = CHECKERS.usable()
    for name, plugin in known.items():
        if plugin.accepts(backend):
            return name, plugin
    raise UsageError(
        f"unknown accelerator {backend!r}", nearest(backend, [plugin.syntax for plugin in known.values()])
    )


def check_backends(backends: Sequence[str], suffixes: Collection[str] = (), of: str = "") -> None:
    """Refuse an accelerator before any work.

    Args:
        suffixes: of the files that there are; none to look at the names alone.
        of: what messages call these files.

    Raises:
        UsageError: one that is not known, or that takes none of the files.
    """
    for backend in backends:
        _, plugin = checker_of(backend)
        if suffixes and not set(suffixes) & set(plugin.suffixes):
            kinds = " and ".join(f".{suffix}" for suffix in plugin.suffixes)
            fitting = [p.syntax for p in CHECKERS.usable().values() if set(suffixes) & set(p.suffixes)]
            others = f"those of {of} can be held against {', '.join(fitting)}" if fitting else "leave it out"
            raise UsageError(f"{backend} takes {kinds} files, and {of} is or has none", others)
