"""The counts of a tree made by hand."""

from __future__ import annotations

from pathlib import Path

from bench.house import look, table

MODULE = """from typing import Any


def long(x: Any) -> None:
    y = 1
    z = 2
    return None


class Some:
    def short(self) -> int:
        return 1
"""


def test_a_tree_is_counted_as_by_hand(tmp_path: Path) -> None:
    for name in ("edgevit/a.py", "edgevit/parts/b.py", "edgevit/parts/c.py", "tests/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(MODULE if name.endswith("a.py") else "x = 1\n")
    house = look(tmp_path)
    assert (house.files, house.lines) == (3, 14)
    assert (house.any_lines, house.any_used) == (2, 1)
    assert house.folders == {"edgevit/parts": 2, "edgevit": 1}
    assert house.longest_functions == {"edgevit/a.py:long": 4, "edgevit/a.py:short": 2}
    text = table({"now": house})
    assert (
        "| `Any` in 1,000 lines | 142.9 (2) |" in text
        and "| longest function 1 | 4 `edgevit/a.py:long` |" in text
    )
