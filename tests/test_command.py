"""`tests._command`: what it forks is what a user starts, and it goes on forking whatever the tests import."""

from __future__ import annotations

import os
import subprocess

import pytest

from edgevit.core.process._server import environment_digest
from tests import _given
from tests._command import ROOT, _commands, command, edgevit, environment


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


def test_what_a_library_sets_reaches_no_command_and_keeps_the_servers_in_use() -> None:
    assert environment_digest(environment()) == _commands().digest
    os.environ["OF_A_LIBRARY"] = "1"  # not undone by anybody
    try:
        assert environment()["OF_A_LIBRARY"] == "1", "set within a test, it may be meant"
        _given.look()
        assert "OF_A_LIBRARY" not in environment()
        assert environment_digest(environment()) == _commands().digest
    finally:
        del os.environ["OF_A_LIBRARY"]
