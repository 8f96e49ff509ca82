"""The report as a table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.foreign import printable
from edgevit.core.outputs import LOGITS
from edgevit.core.results.figures import FEW_COLUMNS, NOTHING, few_cells, summary
from edgevit.core.results.report import Report, Verdict
from edgevit.report._device_rows import COLUMNS as DEVICE_COLUMNS
from edgevit.report._device_rows import DeviceTable, device_tables
from edgevit.report._figures import (
    COLUMNS,
    other_warnings,
    preprocessing,
    remarks,
    rows,
)
from edgevit.report._fit import fits
from edgevit.report._lint_rows import COLUMNS as LINT_COLUMNS
from edgevit.report._lint_rows import LintTable, lint_tables

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES: Final[dict[Verdict, str]] = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold red",
    "inconclusive": "yellow",
    "not-executed": "yellow",
}


def show(report: Report, console: Console) -> None:
    """Print the table, then in plain words the reasons, the notes and what was not done; doubts come last.

    Where the terminal is too narrow for the whole table it has fewer columns, and says where the others are; where
    it is too narrow for these too, every file is a block of lines that begins with its verdict.
    """
    from rich.text import Text

    whole = _table(COLUMNS, [(row.artifact.verdict, row.cells) for row in rows(report)])
    few = _table(FEW_COLUMNS, [(a.verdict, few_cells(a)) for a in report.artifacts])
    table = next((table for table in (whole, few) if fits(table, console)), None)
    console.print(Text(printable(f"{report.model.name}: {heading(report)}")))
    if report.model.weights_origin:
        console.print(Text(printable(f"weights: {report.model.weights_origin}")), soft_wrap=True)
    console.print(Text(printable(f"preprocessing: {preprocessing(report.model)}")), soft_wrap=True)
    if table is None:
        _blocks(report, console)
    else:
        console.print(table)
    if table is few:
        console.print(
            Text("Intervals, integers and latency need a wider terminal, or --json."),
            soft_wrap=True,
        )
    for found in device_tables(report):
        _device(found, console)
    for asked in lint_tables(report):
        _lint(asked, console)
    for line in lines(report):
        console.print(Text(printable(line)), soft_wrap=True)
    for doubt in report.reference.doubts:
        console.print(Text(printable(f"WARNING: {doubt.text}"), style="bold red"), soft_wrap=True)


def _device(found: DeviceTable, console: Console) -> None:
    """The table of one device, or a block of lines for each file where it does not fit."""
    from rich.text import Text

    table = _table(DEVICE_COLUMNS, [(one.verdict, cells) for one, cells in found.rows])
    console.print(Text(printable(found.title), style="bold"), soft_wrap=True)
    if fits(table, console):
        console.print(table)
    else:
        for one, (file, *cells, _) in found.rows:
            console.print(
                Text.assemble(printable(f"{file}: "), (one.verdict, _STYLES[one.verdict])), soft_wrap=True
            )
            named = zip(DEVICE_COLUMNS[1:-1], cells, strict=True)
            told = [f"{name.replace(chr(10), ' ')} {cell}" for name, cell in named if cell != NOTHING]
            console.print(Text(printable(f"  {'; '.join(told)}")), soft_wrap=True)
    for note in found.notes:
        console.print(Text(printable(f"note: {note}")), soft_wrap=True)


def _lint(found: LintTable, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console.print(Text(printable(found.title), style="bold"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in LINT_COLUMNS:
        table.add_column(name, overflow="fold")
    for cells in found.rows:
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)


def _blocks(report: Report, console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print()
    for row in rows(report):
        a = row.artifact
        console.print(
            Text.assemble(printable(f"{a.target} {a.precision}: "), (a.verdict, _STYLES[a.verdict])),
            soft_wrap=True,
        )
        named = zip(COLUMNS[2:-1], row.cells[2:-1], strict=True)
        cells = [f"{name.replace(chr(10), ' ')} {cell}" for name, cell in named if cell != NOTHING]
        if cells:
            console.print(Padding(Text(printable("; ".join(cells))), (0, 0, 0, 2)))
    console.print()


def _table(columns: tuple[str, ...], found: list[tuple[Verdict, tuple[str, ...]]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in columns:
        words = ("target", "precision", "file", "verdict")
        table.add_column(name, justify="left" if name in words else "right")
    for kind, (*cells, verdict) in found:
        table.add_row(*(Text(printable(cell)) for cell in cells), Text(verdict, style=_STYLES[kind]))
    return table


def heading(report: Report) -> str:
    """Parameters, work, and the float model's own accuracy, in one line."""
    model, reference = report.model, report.reference
    text = f"{model.parameters / 1e6:.2f} M parameters, {model.macs / 1e6:.0f} M multiply-accumulates"
    if reference.top1 is not None:
        text += f"; float model top-1 {reference.top1:.2f} % on {reference.n} images"
    if model.output != LOGITS:
        text += f"; its outputs are {model.output.words} ({model.output.task})"
    return text


def lines(report: Report) -> tuple[str, ...]:
    """Everything that a table cannot hold, one sentence a line; doubts about the float model stand apart."""
    found = [
        f"{remark.about}: {remark.verdict + ': ' if remark.verdict else ''}{remark.text}"
        for remark in remarks(report)
    ]
    found += [f"note: {text}" for text in report.notes]
    found += [f"not done: {item.what}: {item.why}" for item in report.not_done]
    found += [f"warning: {text}" for text in other_warnings(report)]
    return (*found, summary(report))
