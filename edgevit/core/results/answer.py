"""What the smaller commands give back: data for `--json`, and the same as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgevit.core.results import notebook


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; the title is one short line."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a flow found out.

    Attributes:
        data: plain data, printed with `--json` behind a `schema_version`.
        tables: the same for the terminal.
        exit_code: 0, or what the contract says about a check that failed or could not be made.
    """

    data: Mapping[str, object]
    tables: tuple[Table, ...]
    exit_code: int = 0

    def _repr_html_(self) -> str:
        """The tables, for a notebook."""
        return "".join(notebook.table(table.title, table.columns, table.rows) for table in self.tables)
