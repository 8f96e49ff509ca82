from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgevit.core.progress import Progress
from edgevit.report.progress import open_progress


def job(progress: Progress) -> None:
    progress.stage("load")
    progress.stage("calibrate", 2)
    progress.advance()
    progress.advance()
    progress.note("a [note]")
    progress.warn("look [here]")


def run(terminal: bool, quiet: bool) -> str:
    out = io.StringIO()
    with open_progress(quiet, Console(file=out, force_terminal=terminal, width=100)) as progress:
        job(progress)
    return out.getvalue()


def test_on_a_terminal_each_stage_leaves_a_line() -> None:
    text = run(terminal=True, quiet=False)
    assert "✓ load (" in text
    assert "✓ calibrate (" in text
    assert "a [note]" in text and "\x1b[1;31mWARNING: look [here]" in text


def test_without_a_terminal_there_are_lines_and_no_bars() -> None:
    first, note, warning, last = run(terminal=False, quiet=False).splitlines()
    assert first.startswith("✓ load (") and last.startswith("✓ calibrate (") and note == "a [note]"
    assert warning == "WARNING: look [here]"


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_writes_nothing(terminal: bool) -> None:
    assert run(terminal, quiet=True) == ""


def test_an_error_takes_the_bar_away_and_goes_on() -> None:
    out = io.StringIO()

    def work() -> None:
        with open_progress(False, Console(file=out, force_terminal=True, width=100)) as progress:
            progress.stage("convert")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        work()
    assert "✓ convert" not in out.getvalue()


def test_by_default_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress() as progress:
        job(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a [note]\n" in captured.err and "✓ load" in captured.err


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("quiet", [True, False])
def test_where_a_failure_was_raised_is_told_to_who_asks(terminal: bool, quiet: bool) -> None:
    trace = "Traceback (most recent call last):\n  File 'a.py', line 3\nValueError: \x1b[2J[bold]no[/bold]"
    told = {}
    for verbose in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=100)
        with open_progress(quiet, console, verbose) as progress:
            progress.trace(trace)
        told[verbose] = out.getvalue()
    assert trace.replace("\x1b", r"\x1b") in told[True] and "ValueError" not in told[False]
