"""Files, modules, extras and Python calls that the documentation names are there."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import edgevit
from tests.docs._pages import ROOT, code_blocks, pages, spans

OURS = re.compile(r"(?:edgevit|converters|calibration|bench|tests|docs|examples)/[\w./-]+")
ELSEWHERE = re.compile(
    r"converters/(NAME|example)/.*|edgevit/\w+/example\w*\.py|calibration/samples/example\.py"
)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", pages(), ids=named)
def test_files_and_modules_exist(page: Path) -> None:
    """`edgevit/quant/plan.py`, from the root or beside the page, and `python -m bench.table`."""
    paths = [s for s in spans(page) if OURS.fullmatch(s) and not ELSEWHERE.fullmatch(s)]
    missing = [path for path in paths if not ((ROOT / path).exists() or (page.parent / path).exists())]
    code = [*spans(page), *(body for _, body in code_blocks(page))]
    modules = {name for text in code for name in re.findall(r"python -m (bench[a-z0-9_.]+)", text)}
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    missing += [
        name for name, place in places.items() if not (place.with_suffix(".py").exists() or place.is_dir())
    ]
    assert missing == []


@pytest.mark.parametrize("page", pages(), ids=named)
def test_make_has_the_target(page: Path) -> None:
    code = "\n".join([*spans(page), *(body for _, body in code_blocks(page))])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(?: *- run: )?make ([a-z-]+)", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [page for page in pages() if "edgevit[" in page.read_text()], ids=named)
def test_extras_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {
        name for group in re.findall(r"edgevit\[([\w,]+)\]", page.read_text()) for name in group.split(",")
    }
    assert told <= set(extras)


@pytest.mark.parametrize(
    "page", [p for p in pages() if any(lang == "python" for lang, _ in code_blocks(p))], ids=named
)
def test_python_is_python_and_calls_what_is_there(page: Path) -> None:
    for language, body in code_blocks(page):
        if language == "python":
            for call in (n for n in ast.walk(ast.parse(body)) if isinstance(n, ast.Call)):
                if ast.unparse(call.func).startswith("edgevit."):
                    function = getattr(edgevit, ast.unparse(call.func).removeprefix("edgevit."))
                    given = {word.arg: None for word in call.keywords if word.arg}
                    inspect.signature(function).bind(*call.args, **given)


def test_every_public_name_is_in_the_api_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    names = [name for name in edgevit.__all__ if not name.startswith("__")]
    assert [name for name in names if f"::: edgevit.{name}\n" not in page] == []
