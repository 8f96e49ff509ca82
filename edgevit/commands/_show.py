"""Results on stdout, as JSON or as tables; a reader that went away is no error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.commands._streams import stdout_errors, write
from edgevit.core.foreign import json_text, printable
from edgevit.core.version import SCHEMA_VERSION

# Dataclasses take a while to be made: for --help, none is.
if TYPE_CHECKING:
    from rich.console import Console

    from edgevit.core.results.answer import Answer
    from edgevit.core.results.report import Report
    from edgevit.core.settings.recipe import Recipe


def show_answer(answer: Answer, as_json: bool) -> int:
    """Print what a flow found; returns its exit code."""
    if as_json:
        data = {"schema_version": SCHEMA_VERSION, **answer.data}
        write(json_text(data, 2) + "\n")
        return answer.exit_code
    from rich.table import Table
    from rich.text import Text

    shown = console()
    with stdout_errors(), shown.capture() as printed:
        for table in answer.tables:
            title = Text(printable(table.title), style="bold")
            drawn = Table(title=title, title_justify="left", pad_edge=False)
            for column in table.columns:
                drawn.add_column(column, overflow="fold")
            for row in table.rows:
                drawn.add_row(*(Text(printable(cell)) for cell in row))
            shown.print(drawn)
    write(printed.get())
    return answer.exit_code


def show_report(report: Report, as_json: bool) -> int:
    """Print a report; returns the exit code that its verdicts ask for."""
    from edgevit.validate.verdict import exit_code

    if as_json:
        from edgevit.report import json as rendered

        write(rendered.render(report))
    else:
        from edgevit.report import terminal

        shown = console()
        with stdout_errors(), shown.capture() as printed:
            terminal.show(report, shown)
        write(printed.get())
    return exit_code(artifact.verdict for artifact in report.artifacts)


def console() -> Console:
    """As wide as the terminal; in a pipe or a log there is no reason to squeeze a table."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def make_recipe(
    settings: Mapping[str, object],
    file: Path | None = None,
    save_to: Path | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Recipe:
    """The Recipe of a command's flags, which is also written to `save_to`."""
    from edgevit.core.settings.recipe_file import save
    from edgevit.flows.make_recipe import make

    recipe = make(settings, file, defaults)
    if save_to is not None:
        save(recipe, save_to)
    return recipe
