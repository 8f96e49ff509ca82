"""A task in its own process: cores that it is bound to, and how its errors are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.agent import task
from edgevit.core.errors import DeviceError
from edgevit.flows._devices.sessions import session_on
from tests.edgevit.devices.ssh import _small_model


def test_a_core_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with session_on("local") as session:
        path = session.store.put(_small_model.save(tmp_path))
        with pytest.raises(DeviceError, match=r"cores \[9999\] cannot be used here, those that can are \[\d"):
            session.time(
                {path: _small_model.FILE},
                runs=1,
                seconds=0.0,
                threads=1,
                cpus=(min(os.sched_getaffinity(0)), 9999),
                unit="all",
                timeout=60.0,
            )


def test_a_process_is_bound_to_the_cores_that_are_asked_for() -> None:
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os; from edgevit.agent.task import bind; bind([{core}]); print(os.sched_getaffinity(0))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{{{core}}}"


def test_a_system_that_binds_no_processes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(NotImplementedError, match="leave --cpus out"):
        task.bind([0])


def test_most_memory_is_at_least_what_the_process_holds_now() -> None:
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert now / 2 < task.peak_rss() < 1 << 40
