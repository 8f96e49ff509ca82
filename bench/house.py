"""How tidy the house is: files per folder, `Any`, and the longest files and functions, of one checkout or several.

python -m bench.house . ../before
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("edgevit", "converters", "calibration")
_ANY = re.compile(r"\bAny\b")
_IMPORT = re.compile(r"\bimport\b")  # the word in a line is enough, as `grep -v import` has it
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class House:
    """What was counted.

    Attributes:
        files: modules, and `lines` of all of them.
        any_lines: lines that hold the word `Any`; `any_used`: those of them without an import.
        folders: folder -> its modules, the fullest first.
        longest_files, longest_functions: name -> lines, the longest first.
    """

    files: int
    lines: int
    any_lines: int
    any_used: int
    folders: dict[str, int]
    longest_files: dict[str, int]
    longest_functions: dict[str, int]


def look(root: Path) -> House:
    """Count a checkout."""
    texts = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
    with_any = [line for text in texts.values() for line in text.splitlines() if _ANY.search(line)]
    functions = {name: length for file, text in texts.items() for name, length in functions_of(file, text)}
    return House(
        files=len(texts),
        lines=sum(text.count("\n") for text in texts.values()),
        any_lines=len(with_any),
        any_used=sum(not _IMPORT.search(line) for line in with_any),
        folders=_largest(Counter(name.rpartition("/")[0] for name in texts)),
        longest_files=_largest({name: text.count("\n") for name, text in texts.items()}),
        longest_functions=_largest(functions),
    )


def functions_of(file: str, text: str) -> Iterator[tuple[str, int]]:
    """Each function of a module with its lines, decorators left out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{file}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def _largest(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN])


def table(houses: dict[str, House]) -> str:
    """Markdown, one column for each checkout."""
    rows = [
        ("modules", [f"{house.files:,}" for house in houses.values()]),
        ("lines", [f"{house.lines:,}" for house in houses.values()]),
        ("`Any` in 1,000 lines", [_share(house.any_lines, house) for house in houses.values()]),
        ("the same without imports", [_share(house.any_used, house) for house in houses.values()]),
    ]
    for title, kind in (
        ("fullest folder", "folders"),
        ("longest file", "longest_files"),
        ("longest function", "longest_functions"),
    ):
        found = [list(getattr(house, kind).items()) for house in houses.values()]
        for rank in range(max(map(len, found), default=0)):
            cells = [f"{one[rank][1]} `{one[rank][0]}`" if rank < len(one) else "" for one in found]
            rows.append((f"{title} {rank + 1}", cells))
    head = ("", *houses)
    lines = [head, tuple("---" for _ in head), *((name, *cells) for name, cells in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _share(count: int, house: House) -> str:
    return f"{1000 * count / max(1, house.lines):.1f} ({count})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", nargs="+", type=Path, metavar="CHECKOUT")
    print(table({str(path): look(path) for path in parser.parse_args().checkouts}))
