from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgevit.core.errors import InputError, StepError, StepMemoryError, StepTimeoutError, StorageError
from edgevit.core.process import forking, worker
from edgevit.core.process.worker import Job, ProcessLimits, run, run_job, run_many
from edgevit.core.progress import Advance, Event, Stage

JOBS = "tests.edgevit.core.process._jobs"


@pytest.fixture(scope="module")
def server() -> Iterator[socket.socket]:
    environment = forking.step_environment()
    environment.pop("PYTEST_CURRENT_TEST", None)
    with forking.serving(("json",), environment) as control:
        yield control


@pytest.fixture(params=["started", "forked"], autouse=True)
def way(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, steady_environment: None
) -> Iterator[str]:
    """Whatever a step does is told in the same way, whether its process was started or forked from a server."""
    forked: list[bool] = []
    if request.param == "forked":
        monkeypatch.setattr(forking, "_control", request.getfixturevalue("server"))
        monkeypatch.setattr(worker, "Job", partial(Job, forked=True))
        fork = worker.fork

        def noted(*arguments: Any) -> forking.Forked | None:
            found = fork(*arguments)
            forked.append(found is not None)
            return found

        monkeypatch.setattr(worker, "fork", noted)
    yield request.param
    assert all(forked)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie waits for its reaper and is no longer running


def wait_until_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def test_result_and_events_come_back_from_another_process(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[Event] = []
    result = run("double", f"{JOBS}:double", {"value": 21}, ProcessLimits(threads=1), seen.append)
    assert result["value"] == 42
    assert result["pid"] != os.getpid()
    assert result["threads"] == "1"
    assert seen == [Advance(0), Advance(1), Advance(2)]
    assert capfd.readouterr().out == ""  # stdout belongs to the parent


def test_child_has_no_core_file_an_address_backstop_and_its_own_session() -> None:
    result = run("limits", f"{JOBS}:limits", {}, ProcessLimits(max_memory_bytes=1 << 30))
    assert result == {"core": 0, "address": (16 << 30) + (1 << 30), "own_session": True}


def test_temporary_files_of_a_step_go_with_it() -> None:
    assert not Path(run("litter", f"{JOBS}:litter", {})["path"]).exists()


@pytest.mark.parametrize(("function", "name"), [("abort", "SIGABRT"), ("segfault", "SIGSEGV")])
def test_signal_becomes_an_error_that_names_step_and_signal(function: str, name: str) -> None:
    with pytest.raises(StepError) as caught:
        run("convert to tflite", f"{JOBS}:{function}", {})
    assert caught.value.message.startswith("convert to tflite crashed")
    assert name in caught.value.message
    assert "_jobs.py" in "".join(caught.value.__notes__)  # where it was, from its stderr


def test_process_that_leaves_without_a_result_is_an_error() -> None:
    with pytest.raises(StepError, match="code 7 and no result"):
        run("step", f"{JOBS}:leave", {})


def test_call_of_exit_is_no_success() -> None:
    with pytest.raises(StepError, match="step failed: SystemExit"):
        run("step", f"{JOBS}:call_exit", {})


def test_hang_ends_at_the_time_limit_with_its_whole_group() -> None:
    pids: list[int] = []
    started = time.monotonic()
    with pytest.raises(StepTimeoutError, match=r"slow step took longer than 1\.5 s"):
        run(
            "slow step",
            f"{JOBS}:hang",
            {},
            ProcessLimits(timeout_s=1.5),
            lambda event: pids.extend(map(int, event.name.split())) if isinstance(event, Stage) else None,
        )
    assert time.monotonic() - started < 15
    assert len(pids) == 2 and wait_until_gone(pids)


def test_a_patient_step_may_take_as_long_as_it_makes_progress() -> None:
    limits = ProcessLimits(timeout_s=1)
    assert run_job(Job("plodding", f"{JOBS}:plod", {}, limits, patient=True))["pid"]
    with pytest.raises(StepTimeoutError, match="plodding took longer than 1 s and was stopped"):
        run_job(Job("plodding", f"{JOBS}:plod", {}, limits))
    with pytest.raises(StepTimeoutError, match="slow took longer than 1 s without progress"):
        run_job(Job("slow", f"{JOBS}:hang", {}, limits, patient=True))


@pytest.mark.parametrize(
    ("function", "limits", "words"),
    [
        (
            "segfault",
            ProcessLimits(),
            "SIGSEGV (Segmentation fault): the file a.tflite makes its runtime crash",
        ),
        ("hang", ProcessLimits(timeout_s=1), "was stopped: the file a.tflite takes its runtime that long"),
    ],
)
def test_a_step_that_only_executes_a_file_names_it(function: str, limits: ProcessLimits, words: str) -> None:
    with pytest.raises(StepError, match=re.escape(words)) as caught:
        run("executing a.tflite", f"{JOBS}:{function}", {}, limits, file="a.tflite")
    assert caught.value.hint.startswith("take the file from its source anew")


def test_memory_limit_watches_resident_size() -> None:
    with pytest.raises(
        StepMemoryError, match=r"hungry used .* GB of memory, more than the limit of 0\.25 GB"
    ):
        run("hungry", f"{JOBS}:hog", {}, ProcessLimits(timeout_s=30, max_memory_bytes=1 << 28))


def test_reservation_beyond_the_backstop_is_a_memory_error() -> None:
    with pytest.raises(StepMemoryError, match=r"^greedy: "):
        run("greedy", f"{JOBS}:reserve", {"bytes": 64 << 30}, ProcessLimits(max_memory_bytes=1 << 30))


def test_our_own_error_arrives_as_the_same_class() -> None:
    with pytest.raises(InputError) as caught:
        run("load", f"{JOBS}:bad_input", {})
    assert (caught.value.message, caught.value.hint) == ("cat.jpg is not an image", "remove it")
    assert caught.value.exit_code == 2


def test_foreign_exception_is_one_line_and_keeps_its_trace_as_a_note() -> None:
    with pytest.raises(StepError) as caught:
        run("export", f"{JOBS}:foreign", {})
    assert caught.value.message == "export failed: ValueError: operator aten.foo is unknown"
    assert "Traceback" in caught.value.__notes__[0] and "and a second line" in caught.value.__notes__[0]


def test_full_disk_in_a_step_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File too large"):
        run("write", f"{JOBS}:full_disk", {"path": str(tmp_path / "file")})


def test_result_that_is_not_plain_data_is_an_error() -> None:
    with pytest.raises(StepError, match="TypeError"):
        run("step", f"{JOBS}:not_plain_data", {})


def test_run_many_gives_a_result_or_an_error_per_job_and_goes_on() -> None:
    seen: list[Event] = []
    first, second, third = run_many(
        [
            worker.Job("one", f"{JOBS}:abort", {}),
            worker.Job("two", f"{JOBS}:double", {"value": 4}, on_event=seen.append),
            worker.Job("three", f"{JOBS}:bad_input", {}),
        ],
        parallel=2,
    )
    assert isinstance(first, StepError) and "SIGABRT" in first.message
    assert isinstance(second, dict) and second["value"] == 8 and len(seen) == 3
    assert isinstance(third, InputError)


SCRIPT = """
import contextlib, sys
from edgevit.core.process.forking import forking
from edgevit.core.process.worker import Job, ProcessLimits, run_job, run_many
way, *paths = sys.argv[1:]
made = {"limits": ProcessLimits(), "forked": True}
jobs = [Job(path, "tests.edgevit.core.process._jobs:hang", {"pids": path}, **made) for path in paths]
try:
    with forking(()) if way == "forked" else contextlib.nullcontext():
        run_job(jobs[0]) if len(jobs) == 1 else run_many(jobs, 2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_hanging(way: str, paths: list[Path]) -> tuple[subprocess.Popen[bytes], list[int]]:
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, way, *map(str, paths)])
    deadline = time.monotonic() + 30
    while not all(path.exists() and " " in path.read_text() for path in paths):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    return parent, [int(pid) for path in paths for pid in path.read_text().split()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_every_group_and_reaches_the_caller(way: str, jobs: int, tmp_path: Path) -> None:
    parent, pids = start_hanging(way, [tmp_path / str(i) for i in range(jobs)])
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) == 130
    assert wait_until_gone(pids)


def test_child_ends_with_its_parent(way: str, tmp_path: Path) -> None:
    parent, (child, grandchild) = start_hanging(way, [tmp_path / "pids"])
    above = int(
        Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]
    )  # the server, or parent
    parent.kill()
    parent.wait(10)
    try:
        assert wait_until_gone([child, above])
        assert way == "started" or wait_until_gone([grandchild])  # the server ends the whole group
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(grandchild, signal.SIGKILL)
