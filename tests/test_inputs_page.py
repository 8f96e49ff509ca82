"""docs/inputs.md names a test for each thing that it says, and each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROW = re.compile(r"^\|.*\| `(?P<file>[\w/]+\.py)::(?P<name>test_\w+)` \|$")


def test_every_row_names_a_test_that_exists(root: Path) -> None:
    rows = [line for line in (root / "docs" / "inputs.md").read_text().splitlines() if line.startswith("| ")]
    told = [line for line in rows if not line.startswith(("| form |", "| --- |"))]
    named = [ROW.match(line) for line in told]
    assert len(told) > 80 and [line for line, found in zip(told, named, strict=True) if found is None] == []
    wanted = {(found["file"], found["name"]) for found in named if found is not None}
    there = {file: _tests(root / "tests" / file) for file, _ in wanted}
    assert sorted((file, name) for file, name in wanted if name not in there[file]) == []


def _tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
