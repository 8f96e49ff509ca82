"""Annotations of GitHub Actions: lines on stdout that its runner shows at the top of a run.

Workflow commands, https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from edgevit.core.foreign import printable
from edgevit.core.results.gate import Check, GateReport

MOST: Final = 10  # of each level in one step; the runner drops the others without a word


def in_actions(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a runner of GitHub Actions reads what is printed."""
    return environment.get("GITHUB_ACTIONS") == "true"


def render(report: GateReport) -> str:
    """An `::error` for each check that closes the gate, a `::warning` for each that is inconclusive and does not.

    What could not be compared is no warning: on another machine that is the rule, and the summary has it. Above ten
    of a level the tenth says how many more there are.
    """
    errors = [check for check in report.checks if report.closes(check)]
    warnings = [c for c in report.checks if c.outcome == "inconclusive" and not report.closes(c)]
    return "".join((*_lines("error", errors), *_lines("warning", warnings)))


@contextmanager
def quoted(write: Callable[[str], object], environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """While it is open, the runner takes nothing that is printed for a command, whatever the names of classes are.

    Args:
        write: prints to the stream that the runner reads; called outside of GitHub Actions never.
    """
    if not in_actions(environment):
        yield
        return
    token = secrets.token_hex()
    write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        write(f"::{token}::\n")


def _lines(level: Literal["error", "warning"], checks: Sequence[Check]) -> Iterator[str]:
    shown = checks if len(checks) <= MOST else checks[: MOST - 1]
    for check in shown:
        yield _command(level, f"edgevit gate: {check.name}", f"{check.outcome}: {check.reason}")
    left = checks[len(shown) :]
    if left:
        names = ", ".join(check.name for check in left)
        yield _command(level, "edgevit gate", f"and {len(left)} more: {names}")


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}\n"


def _data(text: str) -> str:
    """As toolkit's `escapeData`; line feeds stay, all other controls are visible escapes before."""
    return printable(text, lines=True).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    """As its `escapeProperty`."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
