"""The order of timed runs, and what a cold load holds, on a runtime that only writes down what is asked of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgevit.agent import clock
from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Runtime
from edgevit.core.runner import RunOptions
from edgevit.runtimes.onnxruntime import RUNTIME
from edgevit.steps.time_files import Candidate, in_turn

IMAGE = np.zeros((1, 4, 4, 3), np.uint8)


class Recorder:
    """The first open of the process is slow, as an import is."""

    def __init__(self) -> None:
        self.opened = 0
        self.invoked: list[str] = []

    def open(self, path: Path, options: RunOptions) -> Any:
        self.opened += 1
        if self.opened == 1:
            time.sleep(0.3)
        return _Runner(self, path.stem)


class _Runner:
    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def prepare(self, pixels: object) -> object:
        return pixels

    def invoke(self, prepared: object) -> None:
        self.recorder.invoked.append(self.name)


def candidates(recorder: Recorder, has_latency: bool = True) -> tuple[Candidate, ...]:
    runtime: Runtime = replace(RUNTIME, open=recorder.open, has_latency=has_latency)
    return tuple(Candidate(Path(f"{name}.onnx"), runtime) for name in "abc")


@pytest.fixture(autouse=True)
def _short_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "WARMUP_SECONDS", 0.0)


def test_every_round_runs_each_file_once_and_the_first_place_turns() -> None:
    recorder = Recorder()
    timings = in_turn(candidates(recorder), IMAGE, 1, 4)
    rounds = recorder.invoked[-12:]
    assert ["".join(rounds[start : start + 3]) for start in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]
    assert [len(timing.runs_ms) for timing in timings] == [4, 4, 4]


def test_cold_load_of_the_first_file_is_free_of_what_only_a_process_pays_once() -> None:
    timings = in_turn(candidates(Recorder()), IMAGE, 1, 1)
    assert max(timing.cold_load_ms for timing in timings) < 150


def test_a_runtime_whose_time_says_nothing_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="says nothing about a device"):
        in_turn(candidates(Recorder(), has_latency=False), IMAGE, 1, 1)


def test_a_slow_model_is_timed_in_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ROUNDS_SECONDS", 0.0)
    timings = in_turn(candidates(Recorder()), IMAGE, 1, 40)
    assert [len(timing.runs_ms) for timing in timings] == [clock.ROUNDS_LEAST] * 3


def test_processor_time_is_taken_of_one_thread_on_the_cpu_alone() -> None:
    one, *_ = in_turn(candidates(Recorder()), IMAGE, 1, 3)
    assert len(one.cpu_ms) == len(one.runs_ms) == 3
    assert all(0 <= own <= wall + 0.1 for own, wall in zip(one.cpu_ms, one.runs_ms, strict=True))
    two, *_ = in_turn(candidates(Recorder()), IMAGE, 2, 3)
    elsewhere = replace(candidates(Recorder())[0].runtime, cpu_bound=False)
    (other,) = in_turn((Candidate(Path("a.onnx"), elsewhere),), IMAGE, 1, 3)
    assert two.cpu_ms == other.cpu_ms == ()


def test_processor_time_leaves_out_what_a_run_waits() -> None:
    class Waiting(_Runner):
        def invoke(self, prepared: object) -> None:
            time.sleep(0.01)

    runtime = replace(RUNTIME, open=lambda path, options: Waiting(Recorder(), "a"))
    (timing,) = in_turn((Candidate(Path("a.onnx"), runtime),), IMAGE, 1, 3)
    assert min(timing.runs_ms) >= 10
    assert max(timing.cpu_ms) < 5


def test_the_warm_up_goes_on_while_runs_get_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    times = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now)
    monkeypatch.setattr(clock, "time", times)
    monkeypatch.setattr(clock, "WARMUP_SECONDS", 0.1)

    class Slow(_Runner):
        def invoke(self, prepared: object) -> None:
            nonlocal now
            super().invoke(prepared)
            now += max(0.01, 0.05 - 0.002 * len(self.recorder.invoked))

    recorder = Recorder()
    runtime = replace(RUNTIME, open=lambda path, options: Slow(recorder, "a"))
    (timing,) = in_turn((Candidate(Path("a.onnx"), runtime),), IMAGE, 1, 1)
    assert timing.runs_ms == pytest.approx((10.0,))  # from the 20th run on, long after WARMUP_SECONDS
    assert now < clock.WARMUP_ENOUGH
