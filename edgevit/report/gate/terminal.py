"""What the gate found, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.foreign import printable
from edgevit.core.results.gate import Check, GateReport, Outcome
from edgevit.report._fit import fits
from edgevit.report.gate import _words as w

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES: Final[dict[Outcome, str]] = {
    "regressed": "bold red",
    "inconclusive": "yellow",
    "not-compared": "dim",
    "pass": "green",
}
_FEW: Final = ("file", "check", "baseline", "now", "change", "limit", "outcome")
_LEFT: Final = ("file", "check", "outcome")


def show(report: GateReport, console: Console) -> None:
    """Print the checks, those that regressed first, then in words why, what flipped, and as the last line how many.

    Where the terminal is too narrow for the whole table it has fewer columns, and says where the others are; where
    it is too narrow for these too, every check is a block of lines that begins with its outcome.
    """
    from rich.text import Text

    shown = [check for check in report.checks if w.has_row(check)]
    whole = _table(w.COLUMNS, [(check, w.cells(check)) for check in shown])
    few = _table(_FEW, [(check, _few_cells(check)) for check in shown])
    table = next((table for table in (whole, few) if fits(table, console)), None)
    console.print(Text(printable(w.sides(report))), soft_wrap=True)
    console.print(Text(printable(w.basis(report))), soft_wrap=True)
    if table is None:
        _blocks(shown, console)
    elif shown:
        console.print(table)
    if table is few:
        console.print(Text("Bounds and images need a wider terminal, or --json."), soft_wrap=True)
    for text in lines(report):
        console.print(Text(printable(text)), soft_wrap=True)
    last = f"gate {w.verdict(report)}: {w.summary(report)}"
    console.print(Text(last, style=STYLES[report.outcome]), soft_wrap=True)


def lines(report: GateReport) -> tuple[str, ...]:
    """Everything that the table cannot hold, one sentence a line."""
    return (
        *(f"{remark.about}: {remark.outcome}: {remark.text}" for remark in w.remarks(report)),
        *(f"also passed: {text}" for text in w.also_passed(report)),
        *(f"{files}: {words}" for files, words in w.flips_told(report)),
        *(f"worst flip: {subject}: {w.flip_words(flip)}" for subject, flip in w.worst(report)),
        *(f"note: {text}" for text in report.notes),
        *([report.power] if report.power else []),
    )


def _few_cells(check: Check) -> tuple[str, ...]:
    subject, kind, old, new, _, limit, _, outcome = w.cells(check)
    return (subject, kind, old, new, w.change(check, bounds=False), limit, outcome)


def _blocks(shown: list[Check], console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print()
    for check in shown:
        name = Text.assemble((w.outcome(check), STYLES[check.outcome]), printable(f": {check.name}"))
        console.print(name, soft_wrap=True)
        words = [f"{column} {cell}" for column, cell in w.named(check)]
        if words:
            console.print(Padding(Text(printable("; ".join(words))), (0, 0, 0, 2)))
    console.print()


def _table(columns: tuple[str, ...], found: list[tuple[Check, tuple[str, ...]]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(name, justify="left" if name in _LEFT else "right")
    for check, (*cells, outcome) in found:
        table.add_row(*(Text(printable(cell)) for cell in cells), Text(outcome, style=STYLES[check.outcome]))
    return table
