"""How the report writes a figure, the same in the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgevit.core.report import ArtifactReport, ModelSummary, Report, Verdict

NOTHING: Final = "\u2013"  # en dash
TIMES: Final = "\u00d7"
MINUS: Final = "\u2212"
CAP_DB: Final = 200.0
COLUMNS: Final = (
    "target",
    "precision",
    "size",
    "top-1",
    "drop\n[95 % interval]",
    "agreement",
    "SQNR dB\nplan/file/total",
    "integer\nMACs",
    "latency",
    "verdict",
)


# What a narrow terminal has room for.
FEW_COLUMNS: Final = ("target", "precision", "size", "top-1", "drop", "agreement", "SQNR dB", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact as text, in the order of COLUMNS."""

    cells: tuple[str, ...]
    artifact: ArtifactReport


def rows(report: Report) -> tuple[Row, ...]:
    """All artifacts in the order of the report."""
    return tuple(Row(_cells(artifact), artifact) for artifact in report.artifacts)


def _cells(a: ArtifactReport) -> tuple[str, ...]:
    accuracy = a.accuracy
    plan = a.compression.sqnr_db if a.compression else None
    file = a.fidelity.sqnr_db if a.fidelity else None
    total = a.total.sqnr_db if a.total else None
    return (
        a.target,
        a.precision,
        _size(a),
        percent(accuracy.top1 if accuracy else None),
        _drop(a),
        percent(accuracy.agreement if accuracy else None),
        f"{decibel(plan)} / {decibel(file)} / {decibel(total)}"
        if total is not None or file is not None
        else NOTHING,
        NOTHING if a.integer_mac_fraction is None else f"{100 * a.integer_mac_fraction:.0f} %",
        _latency(a),
        a.verdict,
    )


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


def other_warnings(report: Report) -> tuple[str, ...]:
    """The warnings besides the doubts about the float model, which are shown apart from them."""
    doubts = {doubt.text for doubt in report.reference.doubts}
    return tuple(text for text in report.warnings if text not in doubts)


def _size(a: ArtifactReport) -> str:
    if a.size_bytes is None:
        return NOTHING
    if not a.fp32_size_bytes or a.precision == "fp32":
        return megabytes(a.size_bytes)
    return f"{megabytes(a.size_bytes)} ({a.size_bytes / a.fp32_size_bytes:.2f}{TIMES})"


def _drop(a: ArtifactReport) -> str:
    accuracy = a.accuracy
    if accuracy is None or accuracy.drop_pp is None or accuracy.drop_ci95 is None:
        return NOTHING
    low, high = accuracy.drop_ci95
    return f"{signed(accuracy.drop_pp)} [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Two decimals, a true minus sign, no minus before a zero."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", MINUS)


def _latency(a: ArtifactReport) -> str:
    if a.latency is None:
        return NOTHING
    ratio = a.latency.ratio_to_fp32
    own = f"{a.latency.p50_ms:.3g} ms"
    return own if ratio is None or a.precision == "fp32" else f"{own} ({ratio.value:.2f}{TIMES})"


def preprocessing(model: ModelSummary) -> str:
    """How an image becomes the input, and where that was taken from, in one line."""
    p = model.preprocess
    height, width = p.resize
    if not p.shorter_side:
        resized = f"resized to {height}x{width}"
    elif height == width:
        resized = f"shorter side resized to {height}"
    else:
        resized = f"resized to cover {height}x{width}"
    text = (
        f"{resized} ({p.interpolation}), cropped to {p.height}x{p.width}, {p.color}, "
        f"mean {_numbers(p.mean)}, std {_numbers(p.std)}"
    )
    return f"{text}; from {model.preprocess_origin}" if model.preprocess_origin else text


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))
