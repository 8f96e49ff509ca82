from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgevit.core.results.gate import Check, GateReport
from edgevit.report.gate import annotations
from tests.edgevit.report.gate import _report

# What a runner reads: ::name key=value,key=value::message
COMMAND = re.compile(r"^::(?P<name>[a-z]+)(?: (?P<properties>.*?))?::(?P<message>.*)$")
CODES = {"%3A": ":", "%2C": ",", "%0A": "\n", "%0D": "\r", "%25": "%"}


def read(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands as the runner takes them apart: the properties end at the first `::`."""
    found = []
    for line in text.splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        pairs = dict(pair.split("=", 1) for pair in match["properties"].split(","))
        back = {
            key: re.sub("%(3A|2C|0A|0D|25)", lambda m: CODES[m[0]], value)
            for key, value in (*pairs.items(), ("", match["message"]))
        }
        found.append((match["name"], {key: value for key, value in back.items() if key}, back[""]))
    return found


def checks(count: int, outcome: str = "regressed") -> tuple[Check, ...]:
    return tuple(
        Check(subject=f"onnx/{i}", kind="size", outcome=outcome, reason="It grew.")  # type: ignore[arg-type]
        for i in range(count)
    )


def test_what_closes_the_gate_is_an_error(found: GateReport) -> None:
    commands = read(annotations.render(found))
    assert [name for name, *_ in commands] == ["error"] * 3
    assert commands[0][1:] == (
        {"title": "edgevit gate: tflite/w8a8 accuracy"},
        "regressed: It lost 2.10 points on the same 2000 images, at least 1.30; the limit is 1.",
    )


def test_inconclusive_that_does_not_is_a_warning() -> None:
    ((name, _, message),) = read(annotations.render(_report.undecided("pass")))
    assert name == "warning" and message.startswith("inconclusive: ")
    assert annotations.render(_report.passing()) == ""


@pytest.mark.parametrize(
    ("count", "lines", "last"), [(10, 10, "It grew."), (11, 10, "and 2 more: "), (40, 10, "31")]
)
def test_ten_of_a_level_are_all_that_is_shown(found: GateReport, count: int, lines: int, last: str) -> None:
    commands = read(annotations.render(replace(found, checks=checks(count))))
    assert len(commands) == lines and last in commands[-1][2]
    both = replace(found, checks=checks(count) + checks(count, "inconclusive"), on_inconclusive="pass")
    assert [name for name, *_ in read(annotations.render(both))] == ["error"] * 10 + ["warning"] * 10


@pytest.mark.parametrize("name", [*_report.HOSTILE, "a%b,c:d::e", "x\r\ny%0Az"])
def test_no_name_begins_or_ends_a_command(found: GateReport, name: str) -> None:
    check = Check(subject=name, kind="size", outcome="regressed", reason=name)
    ((command, properties, message),) = read(annotations.render(replace(found, checks=(check,))))
    assert command == "error" and list(properties) == ["title"]
    plain = name.isprintable() and "\\" not in name
    if plain:
        assert properties["title"] == f"edgevit gate: {name} size" and message == f"regressed: {name}"
    assert not set(message) & set("\x00\u202e\r")


def test_the_runner_obeys_nothing_while_names_are_printed() -> None:
    lines: list[str] = []
    with annotations.quoted(lines.append, {"GITHUB_ACTIONS": "true"}):
        lines.append("::error::from a class\n")
    begin, _, end = lines
    token = re.fullmatch(r"::stop-commands::([0-9a-f]{32,})\n", begin)
    assert token and end == f"::{token[1]}::\n"


def test_elsewhere_nothing_is_printed_for_a_runner() -> None:
    lines: list[str] = []
    with annotations.quoted(lines.append, {"GITHUB_ACTIONS": "false"}):
        pass
    assert (
        lines == [] and not annotations.in_actions({}) and annotations.in_actions({"GITHUB_ACTIONS": "true"})
    )
