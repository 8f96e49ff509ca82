"""report.html: one page that needs nothing else."""

from __future__ import annotations

from typing import Final

from edgevit.core.results.figures import summary
from edgevit.core.results.report import Report
from edgevit.report._device_rows import COLUMNS as DEVICE_COLUMNS
from edgevit.report._device_rows import device_tables
from edgevit.report._figures import COLUMNS, other_warnings, remarks, rows
from edgevit.report._lint_rows import COLUMNS as LINT_COLUMNS
from edgevit.report._lint_rows import lint_tables
from edgevit.report._page import template
from edgevit.report._plots import plots
from edgevit.report.terminal import heading

FILE_NAME: Final = "report.html"


def render(report: Report) -> str:
    """The page: table, reasons and notes, plots, what was not done, how to read the figures.

    No scripts, no fonts, no addresses: everything is inline, and everything that came from a user
    or a file is escaped.
    """
    return template("report.html.j2").render(
        report=report,
        heading=heading(report),
        summary=summary(report),
        columns=COLUMNS,
        rows=rows(report),
        device_columns=DEVICE_COLUMNS,
        devices=device_tables(report),
        lint_columns=LINT_COLUMNS,
        lint=lint_tables(report),
        remarks=remarks(report),
        plots=plots(report),
        timings=_timings(report),
        warnings=other_warnings(report),
    )


def _timings(report: Report) -> tuple[tuple[str, float], ...]:
    t = report.timings_s
    single = (("load", t.load), ("export", t.export), ("calibrate", t.calibrate), ("quantize", t.quantize))
    return (
        *((name, value) for name, value in single if value is not None),
        *((f"convert {name}", value) for name, value in t.convert.items()),
        *((f"validate {name}", value) for name, value in t.validate.items()),
        ("total", t.total),
    )
