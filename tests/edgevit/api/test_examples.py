"""Every public function shows an example in its docstring, and what it shows is so."""

from __future__ import annotations

import ast
import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgevit
from edgevit.core.assets import demo_asset

FUNCTIONS = [name for name in edgevit.__all__ if inspect.isfunction(getattr(edgevit, name))]


def examples(name: str) -> list[doctest.Example]:
    found = doctest.DocTestFinder(recurse=False).find(
        getattr(edgevit, name), name, globs={"edgevit": edgevit}
    )
    return [example for test in found for example in test.examples]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_calls_the_function_by_its_own_arguments(name: str) -> None:
    trees = [ast.parse(example.source) for example in examples(name)]
    calls = [
        n
        for tree in trees
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and ast.unparse(n.func) == f"edgevit.{name}"
    ]
    assert calls
    for call in calls:
        given = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        inspect.signature(getattr(edgevit, name)).bind(*map(ast.literal_eval, call.args), **given)


@pytest.mark.family
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in one folder: what `convert` writes the others take."""
    monkeypatch.chdir(tmp_path)
    images = np.load(demo_asset("evaluation.npz"))
    Image.fromarray(images["images"][images["labels"].argmax()]).save(
        "shoe.png"
    )  # the last class: ankle boot
    names = {"edgevit": edgevit}
    runner = doctest.DocTestRunner()
    for name in sorted(FUNCTIONS, key=lambda name: name != "convert"):
        runner.run(doctest.DocTest(examples(name), names, name, None, 0, None), clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0
