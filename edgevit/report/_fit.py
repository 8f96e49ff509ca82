"""Whether a table fits into a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def fits(table: Table, console: Console) -> bool:
    """Whether no cell has to be broken or cut."""
    from rich.measure import Measurement

    unbounded = console.options.update(width=1 << 16)
    return Measurement.get(console, unbounded, table).maximum <= console.width
