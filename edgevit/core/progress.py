"""How a long job says where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import StepError


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage begins, which ends the one before; `total` steps if they can be counted."""

    name: str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """So many steps of the stage are done."""

    steps: int = 1


@dataclass(frozen=True, slots=True)
class Warn:
    """Something that may make the work worthless."""

    text: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file of several is planned, made or executed, or has failed."""

    target: str
    precision: str


# What a step tells its parent while it works.
Event = Stage | Advance | Warn | FileDone
Emit = Callable[[Event], None]

_KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in (Stage, Advance, Warn, FileDone)}


def event_to_plain(event: Event) -> dict[str, object]:
    """An event as plain data, which crosses between processes."""
    return {"event": type(event).__name__, **to_plain(event)}


def event_from_plain(data: object) -> Event:
    """Read what `event_to_plain` gave.

    Raises:
        StepError: it is none.
    """
    kind = _KINDS.get(str(data.get("event"))) if isinstance(data, dict) else None
    if kind is None:
        raise StepError(f"a step told {data!r}, which is no event")
    return from_plain(kind, data, "event")


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
