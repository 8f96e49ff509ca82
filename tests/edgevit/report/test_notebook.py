"""A report and progress in a notebook, and who is shown progress at all."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgevit.core.progress import Silent
from edgevit.core.results.report import Report, from_json, to_json
from edgevit.report.progress import progress_for


class Cells(HTMLParser):
    """What a browser would show of each cell and line; tags that are not ours are a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {"th": [], "td": [], "li": [], "strong": []}
        self.tags: set[str] = set()
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._inside = tag
        if tag in self.found:
            self.found[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._inside in self.found:
            self.found[self._inside][-1] += data


def test_a_report_shows_its_verdicts_escaped_and_knows_its_folder(report: Report) -> None:
    first = replace(report.artifacts[0], verdict="fail", reasons=("worse than <b>asked</b> & more",))
    named = replace(report, model=replace(report.model, name="<script>alert(1)</script>"),
                    artifacts=(first, *report.artifacts[1:]), folder=Path("/x/dist/<net>"))  # fmt: skip
    cells = Cells()
    cells.feed(named._repr_html_())
    assert cells.tags == {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert cells.found["strong"][0].startswith("<script>alert(1)</script>: ")
    width = len(cells.found["th"])
    rows = [cells.found["td"][i : i + width] for i in range(0, len(cells.found["td"]), width)]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        (a.target, a.precision, a.verdict) for a in named.artifacts
    ]
    assert f"{first.target} {first.precision}: worse than <b>asked</b> & more" in cells.found["li"]
    assert cells.found["li"][-1] == "files and report.html: /x/dist/<net>"


def test_the_folder_is_not_written(report: Report) -> None:
    placed = replace(report, folder=Path("/x"))
    assert "folder" not in to_json(placed) and to_json(placed) == to_json(report)
    assert (
        from_json(to_json(placed)) == report and from_json({**to_json(report), "folder": "/y"}).folder is None
    )


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As in the kernel of a notebook: what is displayed, and each update of it."""
    shown: list[str] = []

    def display(content: str, display_id: bool) -> Any:
        assert display_id
        shown.append(content)
        return SimpleNamespace(update=shown.append)

    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display, HTML=str))
    return shown


def test_progress_in_a_notebook_is_one_block_that_grows(kernel: list[str]) -> None:
    with progress_for(None) as progress:
        progress.stage("load")
        progress.stage("calibrate <all>", 2)
        progress.note("a note")
        progress.warn("look")
    final = kernel[-1]
    assert final.startswith("<pre>✓ load (") and final.endswith("s)</pre>") and "…" not in final
    assert "\na note\nWARNING: look\n✓ calibrate &lt;all&gt; (" in final
    assert any("… calibrate &lt;all&gt; 0 of 2" in block for block in kernel)


def test_no_progress_was_asked_for(kernel: list[str]) -> None:
    with progress_for(False) as progress:
        progress.note("a note")
    mine = Silent()
    with progress_for(mine) as progress:
        assert progress is mine
    assert kernel == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("asked", "stream", "told"),
    [(None, Terminal, True), (None, io.StringIO, False), (True, io.StringIO, True)],
)
def test_progress_shows_in_a_terminal_and_not_in_a_pipe(
    asked: bool | None, stream: type[io.StringIO], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_for(asked) as progress:
        progress.stage("load")
    assert ("✓ load (" in sys.stderr.getvalue()) is told  # type: ignore[attr-defined]
