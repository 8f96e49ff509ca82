"""gate.html: the comparison as one page that needs nothing else, neither scripts nor files nor a network."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgevit.core.results.figures import NOTHING
from edgevit.core.results.gate import Check, GateReport
from edgevit.report._page import template
from edgevit.report.gate import _words as w
from edgevit.report.gate._gallery import gallery
from edgevit.report.gate._plots import plots

FILE_NAME: Final = "gate.html"
_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})


def render(report: GateReport, pictures: Mapping[int, bytes] = _NONE) -> str:
    """The page: what changed in one table, old and new in plots, and the images whose answer changed.

    Everything that came from a user or a file is escaped.

    Args:
        pictures: index of an image -> a small JPEG, PNG or WebP of it, which is written into the page; images
            without one are shown by name.

    Raises:
        ValueError: bytes that are no such picture.
    """
    return template("gate.html.j2").render(
        report=report,
        heading=f"{w.sides(report)}; {w.basis(report)}",
        verdict=w.verdict(report),
        summary=w.summary(report),
        columns=w.COLUMNS,
        nothing=NOTHING,
        rows=[(check, w.cells(check), _kind(check)) for check in report.checks if w.has_row(check)],
        remarks=w.remarks(report),
        also_passed=w.also_passed(report),
        plots=plots(report),
        flips=w.flips_told(report),
        gallery=gallery(report, pictures),
    )


def _kind(check: Check) -> str:
    """Its class on the page."""
    return "accepted" if check.accepted else check.outcome
