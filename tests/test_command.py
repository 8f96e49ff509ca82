"""`tests._command`: what it forks is what a user starts, and it goes on forking whatever the tests import."""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path

import pytest

from tests._command import ROOT, SET_BY_LIBRARIES, command, edgevit, environment


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("list", "targets"), 0), (("verify", "/nowhere"), 2), (("lift", "--json"), 2), (("gate", "--help"), 0)],
)
def test_a_forked_command_says_what_a_new_process_says(arguments: tuple[str, ...], code: int) -> None:
    started = subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=60
    )
    forked = edgevit(*arguments)
    assert forked.returncode == started.returncode == code
    assert (forked.stdout, forked.stderr) == (started.stdout, started.stderr)


def test_what_libraries_set_is_known() -> None:
    """Else each command of the tests after it would import everything anew: minutes, and nothing would say so."""
    given = Path("/proc/self/environ")
    if not given.exists():
        pytest.skip("what the process was started with cannot be seen")
    for name in ("timm", "coremltools", "litert_torch", "onnxruntime"):
        importlib.import_module(name)
    names = {entry.partition(b"=")[0].decode() for entry in given.read_bytes().split(b"\0")}
    own = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "EDGEVIT_CACHE"}  # tests/conftest.py
    new = {name for name in os.environ if name not in names and not name.startswith("PYTEST_")}
    assert new - own <= SET_BY_LIBRARIES
