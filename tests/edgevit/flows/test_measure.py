"""Blocks and rounds on a device that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from edgevit.agent.feed import Feed
from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.progress import Silent
from edgevit.core.results.device import (
    DeviceFingerprint,
    DeviceState,
    OperatorTime,
    OperatorTimes,
    TimedBlock,
    TimedOnce,
)
from edgevit.core.runner import DeviceFile, DeviceOutput
from edgevit.devices.session import Session
from edgevit.flows._devices.measure import OPERATOR_RUNS, REPEATED, ROUNDS, Options, ToMeasure, measure

CALM = DeviceState()
HOT = DeviceState(throttled=("heat",))
OPTIONS = Options(runs=60, threads=1)


@dataclass
class FakeSession:
    """A device where `a` takes 1 ms, `b` 2 ms, and so on.

    Attributes:
        throttled: which of the blocks that are counted, by number, meet a throttled device.
        broken: files that it does not execute, with what it says.
    """

    throttled: Callable[[int], bool] = lambda _: False
    broken: Mapping[str, DeviceError] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    timed: list[dict[str, object]] = field(default_factory=list)
    untimed: str = ""
    fingerprint: DeviceFingerprint = field(
        default_factory=lambda: DeviceFingerprint("Pi", "Linux", "aarch64", "", (), 4, 1, "", "", {}, "")
    )

    @property
    def store(self) -> FakeSession:
        """Its files are nothing but names."""
        return self

    def put(self, artifact: Path) -> str:
        return f"/there/{artifact.stem}"

    def time(self, files: Mapping[str, DeviceFile], **options: object) -> TimedBlock:
        (path,) = files
        name = path.rsplit("/", 1)[-1]
        if name in self.broken:
            raise self.broken[name]
        runs = cast("int", options["runs"])
        counted = sum(number > 1 for _, number in self.asked)
        self.asked.append((name, runs))
        self.timed.append(options)
        ms = float(ord(name) - ord("a") + 1) * (1 + counted / 1000)
        once = TimedOnce(5.0, 7.0, "there", 3, (ms,) * runs, (ms,) * runs)
        state = HOT if runs > 1 and self.throttled(counted) else CALM
        return TimedBlock((once,), 1000 * (counted + 1), CALM, state)

    def operators(self, path: str, file: DeviceFile, **options: object) -> OperatorTimes:
        if self.untimed:
            raise DeviceError(self.untimed)
        assert options["runs"] == OPERATOR_RUNS and options["unit"] == "cpu_and_ne"
        return OperatorTimes((OperatorTime("blocks.0:add", "Add", "cpu", 1.0),), "there", OPERATOR_RUNS)


def file(name: str, fp32: str = "") -> ToMeasure:
    told = DeviceFile(Feed("NCHW", False, (0.0,), (1.0,)), (4, 4, 1), (DeviceOutput("out"),))
    sites = {"blocks.0:add": "blocks.0:add"}
    return ToMeasure(name, "onnx", Path(f"{name}.onnx"), told, fp32, sites, cpu_bound=True)


def measured(session: FakeSession, *files: ToMeasure, options: Options = OPTIONS):
    return measure(cast("Session", session), files, replace(options, unit="cpu_and_ne"), Silent())


def order(session: FakeSession) -> str:
    return "".join(name for name, runs in session.asked if runs > 1)


def test_files_are_timed_forwards_and_backwards_in_turn_each_in_processes_of_its_own() -> None:
    session = FakeSession()
    a, b = measured(session, file("a"), file("b", fp32="a"))
    assert session.asked[:2] == [("a", 1), ("b", 1)], "once each, not counted"
    assert order(session) == "ab" + "ba" + "ba" + "ab" + "ab" + "ba"
    assert {runs for _, runs in session.asked[2:]} == {60 // ROUNDS}
    assert len(a.blocks) == len(b.blocks) == ROUNDS
    assert a.latency is not None and a.latency.runs == 60 and a.latency.ratio_to_fp32 is None
    assert b.latency is not None and b.latency.ratio_to_fp32 is not None
    assert b.latency.ratio_to_fp32.value == pytest.approx(2.0, rel=0.002)
    assert (a.load_ms, a.first_ms, a.unstable) == (5.0, 7.0, "")
    assert a.peak_rss_bytes == max(block.peak_rss_bytes for block in a.blocks)
    assert b.p99_ms is None


def test_runs_and_seconds_are_shared_among_the_processes_and_no_run_is_lost() -> None:
    session = FakeSession()
    (a,) = measured(session, file("a"), options=Options(runs=50, seconds=3.0, cpus=(4, 5)))
    assert [runs for _, runs in session.asked] == [1] + [9] * ROUNDS
    assert all(one["seconds"] == 0.5 and one["cpus"] == (4, 5) for one in session.timed[1:])
    assert a.latency is not None and a.latency.runs == 54 and a.latency.threads == 4


def test_few_runs_are_few_processes() -> None:
    session = FakeSession()
    (a,) = measured(session, file("a"), options=Options(runs=2))
    assert len(a.blocks) == 2 and a.latency is not None and a.latency.p90_ms is None


def test_a_disturbed_round_is_repeated_for_every_file() -> None:
    session = FakeSession(
        throttled=lambda number: number in (1, 6)
    )  # the second round's first, the fourth's first
    a, b = measured(session, file("a"), file("b", fp32="a"))
    assert len(order(session)) == 2 * (ROUNDS + 2)
    assert len(a.blocks) == len(b.blocks) == ROUNDS
    assert not any(block.disturbed for block in (*a.blocks, *b.blocks))
    assert a.unstable == b.unstable == ""


def test_repetitions_are_bounded_and_what_stays_disturbed_is_said() -> None:
    session = FakeSession(throttled=lambda _: True)
    (a,) = measured(session, file("a"))
    assert len(order(session)) == ROUNDS + REPEATED
    assert len(a.blocks) == ROUNDS and "6 of 6 blocks were disturbed" in a.unstable
    assert "heat" in a.unstable


def test_peaceful_rounds_come_first_where_not_enough_of_them_are() -> None:
    session = FakeSession(throttled=lambda number: number >= 4)
    (a,) = measured(session, file("a"))
    assert [bool(block.disturbed) for block in a.blocks] == [False] * 4 + [True] * 2
    assert a.unstable.startswith("2 of 6")


def test_a_file_that_the_device_does_not_execute_is_told_and_the_others_are_timed() -> None:
    session = FakeSession(broken={"b": DeviceError("on there: no kernel for GridSample")})
    a, b, c = measured(session, file("a"), file("b", fp32="a"), file("c", fp32="b"))
    assert b.latency is None and b.reason == "on there: no kernel for GridSample"
    assert "b" not in order(session)
    assert a.latency is not None and c.latency is not None
    assert c.latency.ratio_to_fp32 is None, "its fp32 file was not timed"


def test_a_connection_that_breaks_is_no_fault_of_the_file() -> None:
    session = FakeSession(broken={"b": DeviceLostError("gone")})
    with pytest.raises(DeviceLostError):
        measured(session, file("a"), file("b"))


def test_operators_are_grouped_and_a_runtime_that_tells_none_says_why() -> None:
    (a,) = measured(FakeSession(), file("a"))
    assert [(one.name, one.share) for one in a.modules] == [("blocks.0", 1.0)] and a.untold == ""
    (a,) = measured(FakeSession(untimed="LiteRT 1.0 has no function"), file("a"))
    assert a.operators == () and a.modules == () and a.untold == "LiteRT 1.0 has no function"
    (a,) = measured(FakeSession(untimed="not asked"), file("a"), options=replace(OPTIONS, operators=False))
    assert a.operators == () and a.untold == ""


def test_times_of_an_emulated_processor_are_never_compared() -> None:
    emulated = DeviceFingerprint("Pi", "Linux", "aarch64", "", (), 4, 1, "", "", {}, "qemu user mode")
    for session, compared in ((FakeSession(), True), (FakeSession(fingerprint=emulated), False)):
        _, b = measured(session, file("a"), file("b", fp32="a"))
        assert b.latency is not None and (b.latency.ratio_to_fp32 is not None) == compared
