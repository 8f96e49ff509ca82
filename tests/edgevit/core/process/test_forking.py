"""Steps that are forked from a process with the libraries: what is the same as in a new process, and what is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgevit.core.errors import StepError, UsageError
from edgevit.core.process import forking
from edgevit.core.process.sandbox import Sandbox, available
from edgevit.core.process.worker import Job, ProcessLimits, run_job

JOBS = "tests.edgevit.core.process._jobs"


pytestmark = pytest.mark.usefixtures("steady_environment")


@pytest.fixture
def server() -> Iterator[None]:
    with forking.forking(("colorsys",)):
        yield


def look(**limits: Any) -> dict[str, Any]:
    """What a step sees of its process."""
    return run_job(Job("look", f"{JOBS}:look", {}, ProcessLimits(**limits), forked=True))


def test_a_forked_step_has_the_modules_and_nothing_else_of_its_server(server: None) -> None:
    first, second = look(), look()
    assert first["preloaded"] and second["preloaded"]
    assert first["pid"] != second["pid"] and first["parent"] == second["parent"] != os.getpid()
    assert first["tasks"] == 1 and first["handles"] == second["handles"]
    assert first["temporary"] != second["temporary"] and not Path(first["temporary"]).exists()


def test_a_step_sees_what_it_would_see_in_a_new_process(server: None) -> None:
    forked = look(threads=3)
    new = run_job(Job("look", f"{JOBS}:look", {}, ProcessLimits(threads=3)))
    forked["environment"].pop("TMPDIR"), new["environment"].pop("TMPDIR")
    same = ("environment", "directory", "signals", "limits", "leads", "handles", "path")
    assert {name: forked[name] for name in same} == {name: new[name] for name in same}
    assert not new["preloaded"] and forked["environment"]["OMP_NUM_THREADS"] == "3"


def test_another_environment_gets_a_process_of_its_own(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRARIES_MAY_LOOK_AT", "this")
    assert not look()["preloaded"] and look()["environment"]["LIBRARIES_MAY_LOOK_AT"] == "this"
    monkeypatch.delenv("LIBRARIES_MAY_LOOK_AT")
    assert look()["preloaded"]


def test_the_sandbox_is_as_strong_in_a_fork(server: None, tmp_path: Path) -> None:
    asked = {"outside": str(tmp_path / "written")}
    job = Job("write", f"{JOBS}:write_outside", asked, ProcessLimits(sandbox=Sandbox()), forked=True)
    found = run_job(job)
    assert found["isolation"] == {"files": available().files, "network": available().network}
    assert found["written"] == (available().files == "none")


@pytest.mark.parametrize("number", ["x", "", "-1", "9999"])
def test_what_is_no_socket_is_wrong_usage(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(forking.SHARED, number)
    with pytest.raises(UsageError, match="EDGEVIT_SERVER"):
        look()


def test_without_its_server_a_step_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with forking.serving((), forking.step_environment()) as control:
        monkeypatch.setattr(forking, "_control", control)
        parent = look()["parent"]
        os.kill(parent, signal.SIGKILL)
        assert look()["parent"] == os.getpid()


def test_a_step_ends_with_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with forking.serving((), forking.step_environment()) as control:
        monkeypatch.setattr(forking, "_control", control)
        parent = look()["parent"]
        begun: list[float] = []

        def end(event: object) -> None:
            begun.append(time.monotonic())
            os.kill(parent, signal.SIGKILL)

        with pytest.raises(StepError, match="SIGKILL"):
            run_job(Job("hang", f"{JOBS}:hang", {}, ProcessLimits(timeout_s=60), end, forked=True))
        assert time.monotonic() - begun[0] < 20
