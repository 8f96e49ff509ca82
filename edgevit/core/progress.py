"""How a long job says where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

# What a step tells its parent while it works: a stage, steps of it, a warning; plain data, as JSON has it.
Emit = Callable[[dict[str, Any]], None]


class Progress(Protocol):
    """Told by a flow, shown by `edgevit.report.terminal` or by nobody."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage, which ends the one before; `total` steps if they can be counted."""
        ...

    def advance(self, steps: int = 1) -> None:
        """So many steps of the stage are done."""
        ...

    def note(self, text: str) -> None:
        """One line for the user, kept on the screen."""
        ...

    def warn(self, text: str) -> None:
        """The same, of something that may make the work worthless."""
        ...

    def trace(self, text: str) -> None:
        """The Python traceback of a failure that the report has as one line; of use with `-v` alone."""
        ...


class Silent:
    """A Progress that says nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Nothing."""

    def advance(self, steps: int = 1) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def trace(self, text: str) -> None:
        """Nothing."""
