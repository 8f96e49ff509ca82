"""Every error that the user can do something about says what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# What is to be done about the others is in their class: install it, free space, give the step more.
OF_THE_USER = ("UsageError", "InputError", "UnsupportedError")


def hintless(code: str) -> list[int]:
    """Lines on which such an error is made of a message alone."""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in OF_THE_USER and len(call.args) < 2
    ]


def test_what_the_check_finds() -> None:
    code = (
        'raise InputError("no such file")\nraise InputError("no such file", "give one")\nraise StepError("x")'
    )
    assert hintless(code) == [1]


@pytest.mark.parametrize("package", ["edgevit", "converters", "calibration"])
def test_errors_of_the_user_have_a_hint(root: Path, package: str) -> None:
    files = {file.relative_to(root): hintless(file.read_text()) for file in (root / package).rglob("*.py")}
    assert {f"{file}:{line}" for file, lines in files.items() for line in lines} == set()
