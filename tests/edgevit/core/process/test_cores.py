"""Cores that may be used, against control groups as Linux shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.core.process.cores import usable_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
BOUND = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def groups(folder: Path, membership: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "membership").write_text(membership)
    return usable_cores(folder, folder / "membership")


def test_a_quota_of_version_2_counts_and_a_fraction_is_rounded_down(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/job\n", {"job/cpu.max": "150000 100000\n"}) == 1


def test_the_quota_of_a_group_around_it_counts_too(tmp_path: Path) -> None:
    files = {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}
    assert groups(tmp_path, "0::/a/b\n", files) == 1


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    files = {"cpu/job/cpu.cfs_quota_us": "100000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}
    assert groups(tmp_path, "4:memory:/x\n3:cpu,cpuacct:/job\n", files) == 1


@pytest.mark.parametrize("text", ["max 100000\n", "", "5000 100000 7\n", "-1 100000\n"])
def test_without_a_quota_it_is_what_the_process_is_bound_to(tmp_path: Path, text: str) -> None:
    assert groups(tmp_path, "0::/job\n", {"job/cpu.max": text}) == BOUND


def test_less_than_one_core_is_one(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/job\n", {"job/cpu.max": "20000 100000\n"}) == 1


def test_what_is_bound_to_one_core_uses_one() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from edgevit.core.process.cores import usable_cores; print(usable_cores())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "1\n"
