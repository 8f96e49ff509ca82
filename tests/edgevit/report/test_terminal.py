from __future__ import annotations

import io
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from rich.console import Console

from edgevit.core.results.report import Report, Verdict
from edgevit.report import _figures, terminal
from tests.edgevit.report.test_html import LINTED


def shown(report: Report, width: int = 140) -> str:
    out = io.StringIO()
    terminal.show(report, Console(file=out, width=width, force_terminal=False))
    return out.getvalue()


def test_the_table_has_a_row_for_each_file_and_words_below(report: Report) -> None:
    text = shown(report)
    assert "float model top-1 91.90 % on 2000 images" in text
    assert (
        "preprocessing: shorter side resized to 146 (bicubic), cropped to 128x128, rgb, mean 0.485, 0.456, "
        "0.406, std 0.229, 0.224, 0.225; from preprocessor_config.json of <b>" in text
    )
    row = next(line for line in text.splitlines() if line.split()[:2] == ["onnx", "w8a8"])
    for cell in (
        "1.3 MB (0.32\u00d7)",
        "91.55 %",
        "0.35 [0.05, 0.66]",
        "98.75 %",
        "24.6 / 31.0 / 24.3",
        "91 %",
        "3.84 ms",
    ):
        assert cell in row
    assert "tflite w8a8: Slower than its fp32 file" in text
    assert "onnx w8da8: fail: meant to be w8da8, but only 3 %" in text
    assert "not done: coreml latency" in text
    assert text.rstrip().endswith("12 of 14 files passed every check, 1 failed, 1 could not be made.")


def test_user_text_is_not_read_as_markup(report: Report) -> None:
    hostile = replace(report, warnings=("[red]x[/red] [/] <y>",))
    assert "[red]x[/red] [/] <y>" in shown(hostile)


def hostile(value: Any) -> Any:
    """The same with what a terminal obeys at the end of every text that is no word of a fixed set."""
    if isinstance(value, str):
        return value + "\x1b[31m\x9b\u202e" if value not in ("pass", "fail", "error") else value
    if isinstance(value, tuple):
        return tuple(map(hostile, value))
    if isinstance(value, dict):
        return {hostile(key): hostile(inner) for key, inner in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: hostile(getattr(value, f.name)) for f in fields(value)})
    return value


@pytest.mark.parametrize("width", [60, 300])
def test_no_text_of_a_report_reaches_the_terminal_raw(report: Report, width: int) -> None:
    text = shown(hostile(report), width)
    assert not set(text) & set("\x1b\x9b\u202e")
    assert r"\x1b[31m\x9b\u202e" in text


def test_doubts_about_the_float_model_come_last_once_and_in_red(doubted: Report) -> None:
    text = shown(doubted)
    assert text.rstrip().endswith("WARNING: with --preprocess color=bgr <b> it is right on 90.00 %")
    assert text.count("color=bgr") == 1 and "warning: 1 image was unreadable" in text
    out = io.StringIO()
    terminal.show(doubted, Console(file=out, width=140, force_terminal=True))
    assert out.getvalue().rstrip().splitlines()[-1].startswith("\x1b[1;31mWARNING")


def test_a_narrow_terminal_cuts_no_cell_off_and_says_where_the_rest_is(report: Report) -> None:
    text = shown(report, 80)
    assert "\u2026" not in text and "--json" in text
    row = next(line for line in text.splitlines() if line.split()[:2] == ["onnx", "w8a8"])
    assert row.split() == ["onnx", "w8a8", "1.3", "MB", "91.55", "%", "0.35", "98.75", "%", "24.3", "pass"]
    assert text.count("pass") >= 12


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_width_cuts_a_verdict_or_a_figure(report: Report, width: int) -> None:
    verdicts: tuple[Verdict, ...] = ("inconclusive", "not-executed", "fail")
    changed = [replace(a, verdict=v) for a, v in zip(report.artifacts, verdicts, strict=False)]
    told = replace(report, artifacts=(*changed, *report.artifacts[3:]))
    lines = shown(told, width).splitlines()
    assert "\u2026" not in "".join(lines)
    for artifact in told.artifacts:
        words = [artifact.target, artifact.precision, artifact.verdict]
        parts = [(line, line.replace(":", "").split()) for line in lines]
        (found,) = (line for line, part in parts if len(part) > 2 and [*part[:2], part[-1]] == words)
        assert len(found) <= width


def test_below_the_few_columns_each_file_is_a_block_that_begins_with_its_verdict(report: Report) -> None:
    lines = shown(report, 60).splitlines()
    at = lines.index("onnx w8a8: pass")
    end = lines.index("tflite fp32: pass")
    block = " ".join(line.strip() for line in lines[at + 1 : end])
    assert block == (
        "size 1.3 MB (0.32\u00d7); top-1 91.55 %; drop [95 % interval] 0.35 [0.05, 0.66]; agreement 98.75 %; "
        "SQNR dB plan/file/total 24.6 / 31.0 / 24.3; integer MACs 91 %; latency 3.84 ms (0.62\u00d7)"
    )
    assert all(line.startswith("  ") and len(line) <= 60 for line in lines[at + 1 : end])


def test_a_note_that_several_files_share_is_told_once_with_their_names(report: Report) -> None:
    same = [replace(a, notes=("No latency was measured.",)) for a in report.artifacts[:2]]
    text = shown(replace(report, artifacts=(*same, *report.artifacts[2:])))
    assert text.count("No latency was measured.") == 1
    assert "onnx fp32, onnx fp16: No latency was measured." in text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "0.00"), (-0.001, "0.00"), (-1.5, "\u22121.50"), (2.346, "2.35")]
)
def test_signs(value: float, expected: str) -> None:
    assert _figures.signed(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "\u2013"), (200.0, "equal"), (24.349, "24.3"), (-3.0, "-3.0")]
)
def test_decibels(value: float | None, expected: str) -> None:
    assert _figures.decibel(value) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(1_234_567, "1.23 MB"), (9_000, "0.009 MB"), (345_600_000, "346 MB")]
)
def test_megabytes(size: int, expected: str) -> None:
    assert _figures.megabytes(size) == expected


def test_operators_that_leave_are_grouped_by_reason(report: Report) -> None:
    first, *others = report.artifacts
    text = shown(replace(report, artifacts=(replace(first, lint=(LINTED,)), *others)))
    assert "onnx/fp32/model.onnx for nnapi: 10 nnapi, 3 cpu, by a list" in text
    row = next(line for line in text.splitlines() if "it is not known" in line)
    assert row.split() == [
        "2",
        "Gelu,",
        "Erf",
        "it",
        "is",
        "not",
        "known",
        "blocks.0.mlp",
        "and",
        "1",
        "more",
        "rule",
    ]
    nothing = replace(LINTED, findings=(), operators={"nnapi": 13, "cpu": 0})
    assert "no operator leaves" in shown(
        replace(report, artifacts=(replace(first, lint=(nothing,)), *others))
    )
