"""The step that writes files: what a plug-in raises becomes an error of its file, with where it was raised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgevit.core.errors import EdgevitError, StepError, UnsupportedError
from edgevit.core.process import worker
from edgevit.core.progress import Event, FileDone, Silent
from edgevit.core.results.report import KeptFloat32
from edgevit.flows import _jobs
from edgevit.registries import TARGETS
from edgevit.steps import build, messages
from edgevit.steps.messages import BuildRequest, Built
from tests.edgevit.flows._tiny import prepared, write_model


def ask(work: Path, **changes: Any) -> BuildRequest:
    """One fp32 file for ONNX of what was prepared in `work`."""
    found = prepared(write_model(work.parent), work, precision="fp32")
    request = BuildRequest(
        work=str(work),
        target="onnx",
        precisions=("fp32",),
        graphs={"fp32": messages.GRAPH},
        spec=found.spec,
        options={},
        without=(),
        scan_float16=(),
        folders={"fp32": str(work / "out")},
    )
    return replace(request, **changes)


def refusing(*_: object) -> object:
    try:
        raise ZeroDivisionError("deep inside")
    except ZeroDivisionError as error:
        raise UnsupportedError("this operator is unknown", "try another") from error


class Targets:
    """A registry whose ONNX target refuses every model."""

    def get(self, name: str) -> object:
        return replace(TARGETS.get(name), prepare=refusing)


def test_a_refusal_becomes_a_row_that_knows_where_it_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(tmp_path / "work")
    monkeypatch.setattr(build, "TARGETS", Targets())
    events: list[Event] = []
    done = build.build(request, events.append)
    (file,) = done.files
    assert (file.path, file.error) == (None, "this operator is unknown; try another")
    assert "ZeroDivisionError: deep inside" in file.trace and "in refusing" in file.trace
    assert [event for event in events if isinstance(event, FileDone)] == [
        FileDone(file.target, file.precision)
    ]


def test_what_a_runtime_computes_wrong_in_float16_stays_float32_in_fp16_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, kept = KeptFloat32("x:attention", "a kernel leaves half of it out"), list[frozenset[str]]()

    def write(prepared: object, precision: str, plan: object, out: Path, keep: frozenset[str]) -> tuple[()]:
        kept.append(keep)
        return ()

    class Wrong:
        def get(self, name: str) -> object:
            return replace(TARGETS.get(name), write=write, wrong_in_float16=lambda prepared: (wrong,))

    request = ask(
        tmp_path / "work",
        precisions=("fp32", "fp16"),
        graphs=dict.fromkeys(("fp32", "fp16"), messages.GRAPH),
        folders={name: str(tmp_path / name) for name in ("fp32", "fp16")},
    )
    monkeypatch.setattr(build, "TARGETS", Wrong())
    done = build.build(request, lambda _: None)
    assert [file.float32 for file in done.files] == [(), (wrong,)]
    assert kept == [frozenset(), frozenset({"x:attention"})]


class Listener(Silent):
    def __init__(self) -> None:
        self.traces: list[str] = []

    def trace(self, text: str) -> None:
        self.traces.append(text)


def test_only_what_failed_is_traced() -> None:
    told = Listener()
    files = (
        Built("onnx", "fp32", 0.1, "model.onnx"),
        Built("onnx", "w8", 0.1, error="no", trace="Traceback\n"),
    )
    _jobs.tell_traces(files, "converting to", told)
    assert told.traces == ["converting to onnx w8:\nTraceback"]


def fails(kind: Callable[[str], Exception]) -> EdgevitError:
    with pytest.raises(EdgevitError) as raised:
        worker.run("converting", f"{__name__}:raise_it", {"name": kind.__name__})
    return raised.value


def raise_it(request: dict[str, Any], emit: object) -> dict[str, Any]:
    raise {"KeyError": KeyError, "UnsupportedError": UnsupportedError}[request["name"]]("weights")


@pytest.mark.parametrize("kind", [KeyError, UnsupportedError])
def test_a_step_that_ends_by_an_exception_keeps_its_trace(kind: Callable[[str], Exception]) -> None:
    """Of a foreign exception as of our own."""
    trace = worker.trace_of(fails(kind))
    assert "in raise_it" in trace and kind.__name__ in trace
    assert worker.trace_of(StepError("without a step")) == ""
