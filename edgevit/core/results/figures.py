"""How a figure of a report is written, wherever it is read: in a terminal, on the page, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgevit.core.results.report import ArtifactReport, Report, Verdict

NOTHING: Final = "\u2013"  # en dash
MINUS: Final = "\u2212"
CAP_DB: Final = 200.0
# What a narrow terminal has room for.
FEW_COLUMNS: Final = ("target", "precision", "size", "top-1", "drop", "agreement", "SQNR dB", "verdict")


def few_cells(a: ArtifactReport) -> tuple[str, ...]:
    """One artifact in the order of FEW_COLUMNS; the SQNR is the total."""
    accuracy = a.accuracy
    drop = None if accuracy is None else accuracy.drop_pp
    return (
        a.target,
        a.precision,
        NOTHING if a.size_bytes is None else megabytes(a.size_bytes),
        percent(accuracy.top1 if accuracy else None),
        NOTHING if drop is None else signed(drop),
        percent(accuracy.agreement if accuracy else None),
        decibel(a.total.sqnr_db if a.total else None),
        a.verdict,
    )


def percent(value: float | None) -> str:
    """Two decimals and the sign."""
    return NOTHING if value is None else f"{value:.2f} %"


def decibel(value: float | None) -> str:
    """One decimal; the cap that stands for equal outputs is written as such."""
    if value is None:
        return NOTHING
    return "equal" if value >= CAP_DB else f"{value:.1f}"


def megabytes(size: int) -> str:
    """Three significant digits."""
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e6:.0f} MB"


def summary(report: Report) -> str:
    """How many files passed, in one sentence."""
    verdicts = [artifact.verdict for artifact in report.artifacts]
    words: dict[Verdict, str] = {
        "fail": "failed",
        "inconclusive": "could not be decided",
        "not-executed": "not executed",
        "error": "could not be made",
    }
    parts = [f"{verdicts.count(key)} {text}" for key, text in words.items() if key in verdicts]
    passed = f"{verdicts.count('pass')} of {len(verdicts)} files passed every check"
    return ", ".join([passed, *parts]) + "."


def signed(value: float) -> str:
    """Two decimals, a true minus sign, no minus before a zero."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", MINUS)
