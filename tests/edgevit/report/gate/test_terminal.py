from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgevit.core.results.gate import Check, GateReport
from edgevit.report.gate import terminal
from tests.edgevit.report.gate import _report


def shown(found: GateReport, width: int) -> str:
    out = io.StringIO()
    terminal.show(found, Console(file=out, width=width, force_terminal=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_width_cuts_an_outcome_and_what_regressed_comes_first(found: GateReport, width: int) -> None:
    text = shown(found, width)
    assert "\u2026" not in text
    words = [line for line in text.splitlines() if "tflite/w8a8" in line and "regressed" in line]
    assert words and text.index(words[0]) < text.index("inconclusive") < text.index("not compared")
    for check in found.checks[:7]:
        outcome = "accepted" if check.accepted else check.outcome.replace("-", " ")
        rows = [line.split() for line in text.splitlines() if check.subject in line and outcome in line]
        assert any(check.kind in row for row in rows), check.name


def test_the_wide_table_has_the_figures_with_their_bounds(found: GateReport) -> None:
    row = next(
        line for line in shown(found, 160).splitlines() if "tflite/w8a8" in line and "accuracy" in line
    )
    assert " ".join(row.split()) == (
        "tflite/w8a8 accuracy 91.40 % 89.30 % +2.10 pp [+1.30, +2.95] 1 pp 2,000 regressed"
    )
    assert "2,000 (9,800 would decide)" in shown(found, 160)


def test_eighty_columns_hold_a_table_that_says_what_it_lacks(found: GateReport) -> None:
    lines = shown(found, 80).splitlines()
    row = next(line for line in lines if "tflite/w8a8" in line and "accuracy" in line)
    assert " ".join(row.split()) == "tflite/w8a8 accuracy 91.40 % 89.30 % +2.10 pp 1 pp regressed"
    assert any("wider terminal" in line for line in lines)
    assert max(len(line) for line in lines[2:18]) <= 80


def test_below_that_every_check_is_a_block(found: GateReport) -> None:
    lines = shown(found, 60).splitlines()
    at = lines.index("regressed: tflite/w8a8 accuracy")
    block = " ".join(line.strip() for line in lines[at + 1 : at + 3])
    assert block == (
        "baseline 91.40 %; now 89.30 %; change +2.10 pp [+1.30, +2.95]; limit 1 pp; images 2,000"
    )


def test_the_words_below_it(found: GateReport) -> None:
    text = shown(found, 160)
    assert "latency of onnx/w8a8, tflite/w8a8, onnx/fp32: not compared: The baseline" in text
    assert "also passed: onnx/w8a8, onnx/fp32: inputs, outputs" in text
    assert "61 of 2,000 answers changed (3.05 % [2.38, 3.90]): 50 lost, 8 gained; 9 within a hair" in text
    assert "float model: no answer changed" in text
    assert text.count("worst flip: ") == 3
    assert "val/cat/0001.png (cat): cat \u2192 dog; the float model says cat by 7.2" in text
    assert "could have shown a drop of 0.9 points" in text
    assert text.rstrip().endswith("gate failed: 2 regressed, 1 inconclusive, 3 not compared, 10 passed")


@pytest.mark.parametrize(
    ("on_inconclusive", "word"), [("fail", "gate inconclusive: "), ("pass", "gate passed: ")]
)
def test_the_last_line_is_what_the_exit_code_says(on_inconclusive: str, word: str) -> None:
    last = shown(_report.undecided(on_inconclusive), 160).rstrip().splitlines()[-1]
    assert last == f"{word}1 inconclusive, 3 not compared, 10 passed"


@pytest.mark.parametrize("width", [60, 160])
def test_nothing_hostile_reaches_the_terminal(found: GateReport, width: int) -> None:
    name = "".join(_report.HOSTILE)
    checks = (Check(subject=name, kind="accuracy", outcome="regressed", reason=name), *found.checks)
    text = shown(replace(found, checks=checks, policy=name, power=name), width)
    assert not set(text) & set("\x00\u202e\u200b\ud800\uffff")
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_what_passed_with_the_same_figures_has_no_row(found: GateReport) -> None:
    same = Check(
        subject="onnx/fp32", kind="agreement", outcome="pass", reason="Equal.", old=99.0, new=99.0, unit="%"
    )
    text = shown(replace(found, checks=(*found.checks, same)), 160)
    assert "99.00 %" not in text and "also passed: onnx/fp32: inputs, outputs, agreement" in text
    lost = replace(same, outcome="regressed")
    assert "99.00 %" in shown(replace(found, checks=(lost, *found.checks)), 160)


def test_a_report_without_checks_says_so(found: GateReport) -> None:
    bare = replace(found, checks=(), flips=(), notes=(), power="", outcome="pass", exit_code=0)
    assert shown(bare, 80).splitlines()[-1] == "gate passed: nothing was compared"
