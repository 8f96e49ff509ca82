"""Progress in a notebook: one block below the cell that is written anew, with IPython alone."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any, Final

from edgevit.core.results import notebook
from edgevit.report.progress import done

_EVERY_S: Final = 0.2  # between two updates, each of which is a message to the browser


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, and not a terminal of IPython."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return getattr(found, "kernel", None) is not None


class Notebook:
    """A Progress that a notebook shows."""

    def __init__(self) -> None:
        self._display: Any = importlib.import_module("IPython.display")
        self._lines: list[str] = []
        self._name, self._since, self._drawn = "", 0.0, 0.0
        self._done = 0
        self._total: int | None = None
        self._block = self._display.display(self._display.HTML(""), display_id=True)

    def stage(self, name: str, total: int | None = None) -> None:
        """The line of the stage that ends, and the new one."""
        self.finish()
        self._name, self._since = name, time.monotonic()
        self._done, self._total = 0, total
        self._draw()

    def advance(self, steps: int = 1) -> None:
        """Count, and show it now and then."""
        self._done += steps
        if time.monotonic() - self._drawn >= _EVERY_S:
            self._draw()

    def note(self, text: str) -> None:
        """A line that stays."""
        self._lines.append(text)
        self._draw()

    def warn(self, text: str) -> None:
        """The same, marked."""
        self.note(f"WARNING: {text}")

    def trace(self, text: str) -> None:
        """Nothing: the report names the failure, and `edgevit convert -v` shows where it was."""

    def finish(self) -> None:
        """The line of the stage that ends."""
        if self._name:
            name, self._name = self._name, ""
            self.note(done(name, self._since))

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        counted = "" if self._total is None else f" {self._done} of {self._total}"
        running = [f"… {self._name}{counted}"] if self._name else []
        self._block.update(self._display.HTML(notebook.text([*self._lines, *running])))
