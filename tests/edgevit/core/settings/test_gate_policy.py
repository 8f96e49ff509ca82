"""Limits from defaults, a repository's rules and flags, in that order; whatever is no limit is told by name."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.gate_limits import GateLimits
from edgevit.core.settings.gate_policy import make

RULES = """
[tool.edgevit.gate]
max_drop = 0.5
max_sqnr_loss = "off"
accept = ["labels", "coreml/*"]
on_inconclusive = "fail"

[tool.edgevit.gate.files."tflite/*"]
max_drop = 2

[tool.edgevit.gate.files."*/w8a8"]
max_drop = 3
max_size_growth = 40
"""


def test_without_any_rules_the_defaults_hold(tmp_path: Path) -> None:
    found = make({"max_drop": None}, folder=tmp_path)
    assert found.limits_for("onnx/fp16") == GateLimits() and found.origin == "defaults"
    assert found.on_inconclusive is None and not found.accepts("labels")


def test_later_patterns_win_and_flags_win_over_all(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(RULES)
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    found = make({}, folder=tmp_path / "below" / "deeper")
    drops = {name: found.limits_for(name).max_drop for name in ("onnx/fp16", "tflite/fp16", "tflite/w8a8")}
    assert drops == {"onnx/fp16": 0.5, "tflite/fp16": 2, "tflite/w8a8": 3}
    assert found.limits_for("float model").max_sqnr_loss is None
    assert found.limits_for("onnx/w8a8").max_size_growth == 40
    assert found.on_inconclusive == "fail" and found.origin == str(tmp_path / "pyproject.toml")
    assert found.accepts("labels") and found.accepts("coreml/w8") and not found.accepts("onnx/w8")
    flags = make({"max_drop": "0.1", "max_sqnr_loss": 6}, ["inputs"], "pass", folder=tmp_path)
    assert {flags.limits_for(name).max_drop for name in drops} == {0.1}
    assert flags.limits_for("onnx/w8a8").max_sqnr_loss == 6 and flags.on_inconclusive == "pass"
    assert flags.accepts("inputs") and flags.accepts("labels")


def test_a_file_of_its_own_needs_no_table_names(tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text('max_drop = 4\n[files."onnx/*"]\nmax_drop = 5\n')
    found = make({}, file=tmp_path / "gate.toml")
    assert (found.limits_for("onnx/w8").max_drop, found.limits_for("tflite/w8").max_drop) == (5, 4)
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert make({}, folder=other).origin == "defaults"
    with pytest.raises(UsageError, match=r"no table \[tool\.edgevit\.gate\]"):
        make({}, file=other / "pyproject.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_dorp = 1", "'max_dorp' is unknown"),
        ("max_drop = -1", "-1 is no limit"),
        ("max_drop = true", "True is no limit"),
        ('max_drop = "much"', "'much' is no limit"),
        ("max_drop = [1]", r"\[1\] is no limit"),
        ('accept = ["label"]', "'label' is unknown"),
        ("accept = 3", "no list of words"),
        ('on_inconclusive = "maybe"', "neither fail nor pass"),
        ("files = 1", "files is no table"),
        ('[files]\n"onnx/*" = 1', "is no table"),
        ('[files."onnx/*"]\naccept = ["labels"]', "'accept' is unknown"),
    ],
)
def test_what_is_no_rule_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        make({}, file=file)


def test_flags_that_are_no_limits(tmp_path: Path) -> None:
    for value in ("nan", "inf", "-0.1", "x", ""):
        with pytest.raises(UsageError, match="--max-size-growth"):
            make({"max_size_growth": value}, folder=tmp_path)
    with pytest.raises(UsageError, match="--accept: 'lables' is unknown"):
        make({}, ["lables"], folder=tmp_path)
    with pytest.raises(InputError):
        make({}, file=tmp_path / "missing.toml")


def test_flags_and_keywords_are_the_limits() -> None:
    """A limit that is added is a flag, a keyword and a key of the policy, or this fails."""
    import typer

    import edgevit
    from edgevit.cli import app

    names = {field.name for field in fields(GateLimits)}
    flags = {p.name for p in typer.main.get_command(app).commands["gate"].params}  # type: ignore[attr-defined]
    assert names <= flags and names <= set(inspect.signature(edgevit.gate).parameters)
