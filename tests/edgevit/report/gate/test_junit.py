from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as Tree

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from edgevit.core.results.gate import Check, GateReport
from edgevit.report.gate import junit
from tests.edgevit.report.gate import _report

# Elements, what they may hold, and their attributes with those that must be there, as in the schema that Jenkins
# checks with (xunit-plugin, junit-10.xsd).
SHAPE = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}, set()),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"name", "tests", "failures", "errors"},
    ),
    "properties": ({"property"}, set(), set()),
    "property": (set(), {"name", "value"}, {"name", "value"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name", "time", "classname", "group"},
        {"name"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}


def cases(found: GateReport) -> dict[tuple[str, str], TestCase]:
    """What an independent reader makes of it."""
    (suite,) = JUnitXml.fromstring(junit.render(found).encode())
    assert isinstance(suite, TestSuite)
    return {(str(case.classname), str(case.name)): case for case in suite}


def test_there_is_a_case_for_each_check_with_its_reason(found: GateReport) -> None:
    read = cases(found)
    assert list(read) == [(check.subject, check.kind) for check in found.checks]
    for check in found.checks:
        (result, *more) = read[check.subject, check.kind].result or [None]
        assert not more
        expected = {"regressed": Failure, "inconclusive": Error, "not-compared": Skipped}.get(check.outcome)
        assert type(result) is (expected or type(None))
        if result is not None:
            assert result.type == check.outcome and result.message in (
                check.reason,
                result.text.splitlines()[0],
            )
    failure = read["tflite/w8a8", "accuracy"].result[0]
    assert failure.text.splitlines()[1:] == [
        "baseline: 91.40 %", "now: 89.30 %", "change: +2.10 pp [+1.30, +2.95]", "limit: 1 pp", "images: 2,000"
    ]  # fmt: skip


def test_two_slices_of_a_file_are_two_cases(found: GateReport) -> None:
    one = Check(
        subject="tflite/w8a8", kind="slice", outcome="regressed", reason="It fell.", part="class 'cat'"
    )
    slices = (one, replace(one, part=f"folder '{_report.HIDDEN}'"))
    assert list(cases(replace(found, checks=slices))) == [
        ("tflite/w8a8", "slice class 'cat'"),
        ("tflite/w8a8", r"slice folder 'cat\x00\u202egnp.exe\u200b\ud800\uffff'"),
    ]


def test_the_counts_are_those_of_the_cases(found: GateReport) -> None:
    read = JUnitXml.fromstring(junit.render(found).encode())
    for counted in (read, next(iter(read))):
        assert (counted.tests, counted.failures, counted.errors) == (16, 2, 1)
    assert next(iter(read)).skipped == 3


@pytest.mark.parametrize(("on_inconclusive", "kind"), [("fail", Error), ("pass", Skipped)])
def test_inconclusive_is_red_when_it_closes_the_gate(on_inconclusive: str, kind: type) -> None:
    (result,) = cases(_report.undecided(on_inconclusive))["onnx/w8a8", "accuracy"].result
    assert type(result) is kind and result.type == "inconclusive"


def test_all_that_passed_is_green() -> None:
    assert not any(
        isinstance(r, (Failure, Error)) for case in cases(_report.passing()).values() for r in case.result
    )


def test_it_has_the_shape_that_jenkins_checks(found: GateReport) -> None:
    root = Tree.fromstring(junit.render(found))
    assert root.tag == "testsuites"
    for element in root.iter():
        children, attributes, needed = SHAPE[element.tag]
        assert {child.tag for child in element} <= children, element.tag
        assert needed <= set(element.attrib) <= attributes, element.tag


def test_what_xml_cannot_hold_is_written_as_an_escape(found: GateReport) -> None:
    name = "".join(_report.HOSTILE) + "\x01\x1b\ufffe]]>&amp;"
    check = Check(subject=name, kind="accuracy", outcome="regressed", reason=name)
    hostile = replace(found, checks=(check,), bundle=replace(found.bundle, path=name), power=name)
    ((subject, _),) = cases(hostile)
    assert r"cat\x00\u202egnp.exe\u200b\ud800\uffff" in subject and r"\x01\x1b\ufffe]]>&amp;" in subject
    assert _report.SCRIPT in subject and _report.EMOJI in subject
