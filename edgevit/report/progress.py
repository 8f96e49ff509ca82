"""Progress on stderr: a line for each finished stage, a bar for the one that runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edgevit.core.foreign import printable
from edgevit.core.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def open_progress(
    quiet: bool = False, console: Console | None = None, verbose: bool = False
) -> Iterator[Progress]:
    """A Progress for one job; the bar is gone when the job ends, by an error too.

    Without a terminal on stderr there are no bars, only the lines; with `quiet` nothing. `verbose` shows traces,
    also with `quiet`.
    """
    from rich.console import Console

    console = console or Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        plain = _Plain(console, quiet, verbose)
        yield plain
        plain.finish()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        live = _Live(bars, verbose)
        yield live
        live.finish()


@contextmanager
def progress_for(asked: Progress | bool | None) -> Iterator[Progress]:
    """A Progress for a function that was called from Python.

    Args:
        asked: one to use; True and False to show it or not; None for where somebody looks: in a terminal and in a
            notebook, and not in a pipe or a log.
    """
    from edgevit.report.notebook import Notebook, in_notebook

    if asked is not None and not isinstance(asked, bool):
        yield asked
    elif asked is not False and in_notebook():
        block = Notebook()
        yield block
        block.finish()
    elif asked or (asked is None and _in_terminal()):
        with open_progress() as shown:
            yield shown
    else:
        yield Silent()


def _in_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class _Plain:
    """Lines alone: a log has no use for a bar that is drawn over itself."""

    def __init__(self, console: Console, quiet: bool, verbose: bool) -> None:
        self._console, self._quiet, self._verbose = console, quiet, verbose
        self._name, self._since = "", 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        self.finish()
        self._name, self._since = name, time.monotonic()

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        if self._quiet:
            return
        with suppress(OSError):  # a log that cannot be written is no reason to stop
            self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        if not self._quiet:
            _warn(self._console, text)

    def trace(self, text: str) -> None:
        if self._verbose:
            _trace(self._console, text)

    def finish(self) -> None:
        """The line of the stage that ends."""
        if self._name:
            self.note(done(self._name, self._since))
            self._name = ""


def _warn(console: Console, text: str) -> None:
    console.print(
        printable(f"WARNING: {text}"), style="bold red", markup=False, highlight=False, soft_wrap=True
    )


def _trace(console: Console, text: str) -> None:
    with suppress(OSError):
        console.print(printable(text, lines=True), markup=False, highlight=False, soft_wrap=True)


def done(name: str, since: float) -> str:
    """The line of a stage that began at `since`, by time.monotonic()."""
    return f"✓ {name} ({time.monotonic() - since:.1f} s)"


class _Live:
    def __init__(self, bars: Bars, verbose: bool) -> None:
        self._bars, self._verbose = bars, verbose
        self._task: TaskID | None = None
        self._name, self._since = "", 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        self.finish()
        self._name, self._since = name, time.monotonic()
        self._task = self._bars.add_task(printable(name), total=total)

    def advance(self, steps: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, steps)

    def note(self, text: str) -> None:
        self._bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        _warn(self._bars.console, text)

    def trace(self, text: str) -> None:
        if self._verbose:
            _trace(self._bars.console, text)

    def finish(self) -> None:
        """Turn the running bar into a line that stays."""
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
            self.note(done(self._name, self._since))
