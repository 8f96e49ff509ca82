"""Which Python a device uses, found by a script of the shell on devices whose programs are stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgevit.core.errors import DeviceError
from edgevit.devices import _python
from edgevit.devices._shell import run
from edgevit.devices.transports.local import LocalPlace


def place(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> LocalPlace:
    """A device whose PATH has only these programs, each a script."""
    tools = folder / "tools"
    tools.mkdir()
    for name, script in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    return LocalPlace(str(folder / "own ' folder"), python="")


def python(version: tuple[int, int, int]) -> str:
    """A Python of that version, as far as it can be seen: `-c PROGRAM` is executed by this one."""
    told = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    return f"exec {sys.executable} -c '{told}' \"$2\""


def test_output_that_comes_in_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    assert run(LocalPlace(str(tmp_path)), "printf a; sleep 0.1; printf b; exit 3").stdout == "ab"


def test_the_first_python_that_is_new_enough_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = place(tmp_path, monkeypatch, python3=python((3, 7, 3)), python=python((3, 9, 2)))
    assert _python.find(there) == str(tmp_path / "tools/python")


def test_the_environment_of_our_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = place(tmp_path, monkeypatch, python3=python((3, 12, 0)))
    own = Path(there.root, "venv/bin/python")
    own.parent.mkdir(parents=True)
    own.write_text(f"#!/bin/sh\n{python((3, 8, 10))}\n")
    own.chmod(0o755)
    assert _python.find(there) == str(own)


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({}, "has no Python 3.8 or newer"),
        ({"python3": python((3, 7, 3))}, "has Python 3.7.3 only, the agent needs 3.8"),
        ({"python3": "echo what is a python; exit 1"}, "has no Python 3.8 or newer"),
    ],
)
def test_none_or_too_old_a_python_is_said_with_what_to_do(
    programs: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError, match=said) as caught:
        _python.find(place(tmp_path, monkeypatch, **programs))
    assert "edgevit doctor --device local" in caught.value.hint
