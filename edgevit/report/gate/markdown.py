"""What the gate found as GitHub-flavoured Markdown: for the summary of a job, and for a comment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from edgevit.core.disk.regular import regular_file
from edgevit.core.disk.space import storage_errors
from edgevit.core.results.figures import NOTHING
from edgevit.core.results.gate import Check, Flip, GateReport, Outcome
from edgevit.report.gate import _words as w
from edgevit.report.gate._escaped import code, html, item, text
from edgevit.report.gate._within import Block, join

# GitHub refuses a step's summary above 1024 KiB as a whole.
LIMIT_BYTES: Final = 1 << 20
# Nor does it take a comment of more than 65,536 characters, and bytes are never fewer than characters.
COMMENT_BYTES: Final = 1 << 16
_ICONS: Final[dict[Outcome, str]] = {
    "regressed": "\u274c",
    "inconclusive": "\u26a0\ufe0f",
    "not-compared": "\u2796",
    "pass": "\u2705",
}


def render(report: GateReport, limit_bytes: int = LIMIT_BYTES) -> str:
    """The verdict, what did not pass with its reasons, what flipped, and folded away what passed.

    Names, paths and reasons, which may come from others, are escaped, so that they neither mark anything up nor
    mention anybody.

    Returns:
        At most `limit_bytes` bytes of UTF-8, which say where they were cut; "" where not even that fits.
    """
    return join(tuple(_blocks(report)), limit_bytes)


def summary_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file whose text GitHub Actions shows as the summary of the step; None elsewhere."""
    name = environment.get("GITHUB_STEP_SUMMARY", "")
    return Path(name) if name else None


def append_summary(report: GateReport, path: Path) -> bool:
    """Append the Markdown to the summary of the step, within what is left of its 1 MiB.

    Returns:
        Whether there was room for anything.

    Raises:
        InputError: something other than a file stands at `path`.
        StorageError: it cannot be written.
    """
    there = regular_file(path, "the summary of the step").stat().st_size if path.exists() else 0
    before = "\n\n" if there else ""
    made = render(report, LIMIT_BYTES - there - len(before))
    if made:
        with storage_errors(path), path.open("ab") as file:
            file.write((before + made).encode())
    return bool(made)


def _blocks(report: GateReport) -> Iterable[Block]:
    verdict = f"## {_ICONS[report.outcome]} edgevit gate: {w.verdict(report)}\n\n{w.summary(report)}.  \n"
    yield Block("lines", (f"{verdict}Model {text(w.sides(report))}.  \nOn {text(w.basis(report))}.\n",))
    open_ones = [check for check in report.checks if check.outcome != "pass" or check.accepted]
    if open_ones:
        yield Block("checks that did not pass", [_row(check) for check in open_ones], _head("why"))
    flips = [flips for flips in report.flips if flips.changed]
    if flips:
        columns = ("file", "images", "answers changed", "of them lost", "gained", "within a hair")
        rows = [
            _cells(
                code(f.subject),
                f"{f.n:,}",
                f"{f.changed:,} ({f.share_pct:.2f} % [{f.share_ci95[0]:.2f}, {f.share_ci95[1]:.2f}])",
                f"{f.lost:,}",
                f"{f.gained:,}",
                f"{f.close:,}",
            )
            for f in flips
        ]
        yield Block("files", rows, _table(columns))
    said = [*report.notes, *([report.power] if report.power else [])]
    if said:
        yield Block("notes", [f"- {item(line)}\n" for line in said], "\n")
    passed = [check for check in report.of("pass") if not check.accepted]
    if passed:
        head = f"{_fold(f'{len(passed):,} checks passed')}{_head('what')}"
        yield Block("checks that passed", [_row(check) for check in passed], head, "\n</details>\n")
    for each in report.flips:
        if each.worst:
            head = f"{_fold(f'Worst flips of {each.subject}')}{_table(_FLIP_COLUMNS)}"
            yield Block("images", [_flip(flip) for flip in each.worst], head, "\n</details>\n")


_FLIP_COLUMNS: Final = ("image", "label", "float model", "baseline", "now", "", "margin")


def _flip(flip: Flip) -> str:
    hair = " (within a hair)" if flip.close else ""
    label = NOTHING if flip.label is None else code(flip.label)
    answers = (code(flip.float_answer), code(flip.old), code(flip.new))
    return _cells(code(flip.image), label, *answers, flip.change, f"{flip.margin:.2g}{hair}")


def _row(check: Check) -> str:
    subject, kind, old, new, change, limit, images, outcome = w.cells(check)
    icon = _ICONS[check.outcome]
    figures = (old, new, change, limit, images)
    return _cells(f"{icon} {outcome}", code(subject), kind, *map(text, figures), text(check.reason))


def _head(last: str) -> str:
    outcome, columns = w.COLUMNS[-1], [name.replace("\n", " ") for name in w.COLUMNS[:-1]]
    return _table((outcome, *columns, last))


def _table(columns: tuple[str, ...]) -> str:
    return f"\n{_cells(*map(text, columns))}{_cells(*('---' for _ in columns))}"


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _fold(title: str) -> str:
    return f"\n<details><summary>{html(title)}</summary>\n"
