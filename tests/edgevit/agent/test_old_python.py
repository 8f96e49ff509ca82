"""Boards have Python 3.8: every module of the agent is written in it, and evaluates nothing that it lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgevit.agent

MODULES = sorted(Path(edgevit.agent.__file__).parent.glob("*.py"))
BUILTIN_GENERICS = {"dict", "list", "tuple", "set", "frozenset", "type"}
# Names with [] that Python 3.8 takes: those of typing.
GENERIC_MODULES = {"collections", "collections.abc", "queue", "subprocess", "os", "re", "contextlib"}
METHODS = {
    "removeprefix",
    "removesuffix",
    "bit_count",
    "is_relative_to",
    "hardlink_to",
    "with_stem",
}
KEYWORDS = {
    "zip": {"strict"},
    "dataclass": {"slots", "kw_only", "match_args", "weakref_slot"},
    "pairwise": {"*"},
    "batched": {"*"},
    "to_thread": {"*"},
    "file_digest": {"*"},
    "anext": {"*"},
    "aiter": {"*"},
    "cache": {"*"},
}
MODULES_SINCE = {"tomllib", "zoneinfo", "graphlib"}


def evaluated(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: annotations do not, since each module defers them."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            values = value if isinstance(value, list) else [value]
            if isinstance(node, ast.If) and name == "body" and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            waiting += [item for item in values if isinstance(item, ast.AST)]


def faults(source: str) -> list[str]:
    """What Python 3.8 would stumble over."""
    tree = ast.parse(source, feature_version=(3, 8))
    found = []
    generics = set(BUILTIN_GENERICS)
    for node in evaluated(tree):
        if isinstance(node, ast.ImportFrom) and node.module in GENERIC_MODULES:
            generics |= {alias.asname or alias.name for alias in node.names}
        imported = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        if isinstance(node, ast.ImportFrom):
            imported = {node.module or ""}
        found += [f"imports {name}" for name in imported & MODULES_SINCE]
    for node in evaluated(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            base = node.value
            whole = ast.unparse(base)
            if (isinstance(base, ast.Name) and base.id in generics) or whole.startswith("collections.abc."):
                found.append(f"{ast.unparse(node)} is evaluated")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            parts = (node.left, node.right)
            types = BUILTIN_GENERICS | {"int", "str", "float", "bytes", "bool", "None"}
            if any(ast.unparse(part) in types for part in parts):
                found.append(f"{ast.unparse(node)} is a union of types")
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            found.append(f".{node.attr}")
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            lacks = KEYWORDS.get(called, set())
            if "*" in lacks or lacks & {keyword.arg for keyword in node.keywords}:
                found.append(f"{ast.unparse(node)[:60]} is newer")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_of_the_agent_runs_on_python_3_8(path: Path) -> None:
    source = path.read_text()
    assert faults(source) == []
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    assert not ast.parse(source).body[1:] or imports[0].module == "__future__", (
        "annotations must not be evaluated"
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Message = dict[str, int]", "dict[str, int] is evaluated"),
        (
            "from collections.abc import Callable\nx = Callable[[int], None]",
            "Callable[[int], None] is evaluated",
        ),
        ("from queue import Queue\nx = Queue[int]()", "Queue[int] is evaluated"),
        ("def f():\n    return [list[int]]", "list[int] is evaluated"),
        ("x = int | None", "int | None is a union"),
        ("isinstance(1, int | str)", "int | str is a union"),
        ("zip(a, b, strict=True)", "zip(a, b, strict=True) is newer"),
        ("@dataclass(slots=True)\nclass A: pass", "dataclass(slots=True) is newer"),
        ("@dataclasses.dataclass(kw_only=True)\nclass A: pass", "kw_only=True) is newer"),
        ("'a'.removeprefix('b')", ".removeprefix"),
        ("import tomllib", "imports tomllib"),
    ],
)
def test_each_of_these_faults_is_found(source: str, words: str) -> None:
    assert any(words in fault for fault in faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "match x:\n    case 1: pass",
        "with (open('a') as a, open('b') as b): pass",
        "try: pass\nexcept* E: pass",
    ],
)
def test_newer_syntax_does_not_parse(source: str) -> None:
    with pytest.raises(SyntaxError):
        faults(source)


def test_annotations_and_what_only_a_type_checker_reads_may_be_new() -> None:
    source = (
        "from collections.abc import Callable\nx: dict[str, int] = {}\n"
        "def f(a: int | None) -> list[Callable[[], None]]: return a[0] | a[1]\n"
        "if TYPE_CHECKING:\n    Pixels = dict[str, int]\n"
    )
    assert faults(source) == []
