"""How the report writes a figure, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgevit.core.precisions import Precision
from edgevit.core.results.figures import NOTHING, decibel, megabytes, percent, signed
from edgevit.core.results.report import ArtifactReport, ModelSummary, Report, Verdict

TIMES: Final = "\u00d7"
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


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about one file or about several, which are named as "onnx w8, tflite w8"."""

    about: str
    verdict: Verdict | None  # None for a note; else it is a reason of this verdict
    text: str


def remarks(report: Report) -> tuple[Remark, ...]:
    """Reasons and notes in the order of the files; one that several files share is told once, at the first."""
    about: dict[tuple[Verdict | None, str], list[str]] = {}
    for a in report.artifacts:
        for verdict, text in (
            *((a.verdict, text) for text in a.reasons),
            *((None, text) for text in (*_about_heads(a), *a.notes)),
        ):
            about.setdefault((verdict, text), []).append(f"{a.target} {a.precision}")
    return tuple(Remark(", ".join(names), verdict, text) for (verdict, text), names in about.items())


def _about_heads(a: ArtifactReport) -> tuple[str, ...]:
    """One sentence for each labelled output besides the first."""
    lines = []
    for head in a.heads:
        text = f"{head.head}: agreement {head.accuracy.agreement:.2f} %, SQNR {head.sqnr_db:.1f} dB"
        if head.accuracy.top1 is not None and head.reference_top1 is not None:
            text += f", top-1 {head.accuracy.top1:.2f} % (float model {head.reference_top1:.2f} %)"
        lines.append(text)
    return tuple(lines)


def other_warnings(report: Report) -> tuple[str, ...]:
    """The warnings besides the doubts about the float model, which are shown apart from them."""
    doubts = {doubt.text for doubt in report.reference.doubts}
    return tuple(text for text in report.warnings if text not in doubts)


def _size(a: ArtifactReport) -> str:
    if a.size_bytes is None:
        return NOTHING
    if not a.fp32_size_bytes or a.precision is Precision.FP32:
        return megabytes(a.size_bytes)
    return f"{megabytes(a.size_bytes)} ({a.size_bytes / a.fp32_size_bytes:.2f}{TIMES})"


def _drop(a: ArtifactReport) -> str:
    accuracy = a.accuracy
    if accuracy is None or accuracy.drop_pp is None or accuracy.drop_ci95 is None:
        return NOTHING
    low, high = accuracy.drop_ci95
    return f"{signed(accuracy.drop_pp)} [{signed(low)}, {signed(high)}]"


def _latency(a: ArtifactReport) -> str:
    if a.latency is None:
        return NOTHING
    ratio = a.latency.ratio_to_fp32
    own = f"{a.latency.p50_ms:.3g} ms"
    return own if ratio is None or a.precision is Precision.FP32 else f"{own} ({ratio.value:.2f}{TIMES})"


def preprocessing(model: ModelSummary) -> str:
    """How an image becomes the input, and where that was taken from, in one line."""
    p = model.preprocess
    height, width = p.resize
    if p.border is not None:
        resized = f"fitted whole into {height}x{width}"
    elif not p.shorter_side:
        resized = f"resized to {height}x{width}"
    elif height == width:
        resized = f"shorter side resized to {height}"
    else:
        resized = f"resized to cover {height}x{width}"
    turned = "turned upright by EXIF, " if p.orient == "exif" else ""
    size = f"{p.height}x{p.width}"
    cropped = (
        f"cropped to {size}" if p.border is None else f"centred in {size} of colour {_numbers(p.border)}"
    )
    text = (
        f"{turned}{resized} ({p.interpolation}), {cropped}, {p.color}, "
        f"mean {_numbers(p.mean)}, std {_numbers(p.std)}"
    )
    return f"{text}; from {model.preprocess_origin}" if model.preprocess_origin else text


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))
