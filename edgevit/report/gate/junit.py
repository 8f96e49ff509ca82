"""What the gate found as JUnit XML, which Jenkins, GitLab, GitHub apps and Azure show as tests.

A check is a test case of the class that is its file. JUnit tells a `failure`, where what was tested is wrong, from an
`error`, where the test could not come to a result, and from `skipped`:

| outcome | in the XML | dashboards show |
| --- | --- | --- |
| regressed | `failure` | red |
| inconclusive that closes the gate (exit code 4) | `error` | red, as the job is; but nothing is known to be worse |
| inconclusive under `--on-inconclusive pass` | `skipped` | neither red nor green, as the job is green |
| not compared | `skipped` | the same |
| pass | nothing | green |
"""

from __future__ import annotations

from edgevit.core.foreign import printable
from edgevit.core.results.gate import Check, GateReport
from edgevit.report.gate import _words as w


def render(report: GateReport) -> str:
    """One `testsuite`. Control characters, which XML cannot hold, and invisible ones stand as escapes."""
    from xml.etree import ElementTree as Tree

    found = [(check, _element(report, check)) for check in report.checks]
    names = [name for _, name in found]
    counts = {
        "tests": str(len(found)),
        "failures": str(names.count("failure")),
        "errors": str(names.count("error")),
    }
    suites = Tree.Element("testsuites", {"name": "edgevit gate", **counts})
    described = {"name": "edgevit gate", **counts, "skipped": str(names.count("skipped")), "time": "0"}
    suite = Tree.SubElement(suites, "testsuite", described)
    properties = Tree.SubElement(suite, "properties")
    for key, value in _properties(report).items():
        Tree.SubElement(properties, "property", {"name": key, "value": printable(value)})
    for check, name in found:
        told = {"classname": printable(check.subject), "name": printable(check.what), "time": "0"}
        case = Tree.SubElement(suite, "testcase", told)
        if name is None:
            Tree.SubElement(case, "system-out").text = _words(check)
        else:
            message = printable(check.reason)
            Tree.SubElement(case, name, {"type": check.outcome, "message": message}).text = _words(check)
    Tree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Tree.tostring(suites, encoding="unicode")}\n'


def _element(report: GateReport, check: Check) -> str | None:
    if check.outcome == "regressed":
        return "failure"
    if check.outcome == "inconclusive":
        return "error" if report.closes(check) else "skipped"
    return "skipped" if check.outcome == "not-compared" else None


def _properties(report: GateReport) -> dict[str, str]:
    return {
        "bundle": report.bundle.path,
        "baseline": report.baseline.path,
        "images": f"{report.images.count} of {report.images.path}",
        "policy": report.policy,
        "power": report.power,
    }


def _words(check: Check) -> str:
    """The reason again, since GitLab shows no other, and the figures."""
    return "\n".join((printable(check.reason), *(f"{column}: {cell}" for column, cell in w.named(check))))
