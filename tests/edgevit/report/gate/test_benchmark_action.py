from __future__ import annotations

import json
from dataclasses import replace

from edgevit.core.results.gate import GateReport
from edgevit.report.gate import benchmark_action


def test_it_is_the_list_that_the_action_reads(found: GateReport) -> None:
    data = json.loads(benchmark_action.render(found))
    assert all(set(entry) == {"name", "unit", "value"} for entry in data)
    assert all(isinstance(entry["value"], int | float) and entry["value"] >= 0 for entry in data)
    values = {entry["name"]: (entry["value"], entry["unit"]) for entry in data}
    assert len(values) == len(data)
    assert values["tflite/w8a8 top-1 error"] == (10.7, "%")
    assert values["tflite/w8a8 disagreement with the float model"] == (2.25, "%")
    assert values["tflite/w8a8 size"] == (1_255_000, "bytes")
    assert values["tflite/w8a8 latency"] == (3.84, "ms")


def test_the_names_depend_on_no_outcome(found: GateReport) -> None:
    other = replace(found, checks=tuple(replace(c, outcome="pass") for c in reversed(found.checks)))
    assert benchmark_action.render(other) == benchmark_action.render(found)


def test_what_was_not_measured_has_no_point(found: GateReport) -> None:
    none = replace(found, checks=tuple(replace(check, new=None) for check in found.checks))
    assert benchmark_action.render(none) == "[]\n"
