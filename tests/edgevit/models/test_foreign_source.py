"""A source of models that another package brings, found through its entry point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgevit.core.registry import _installed
from edgevit.core.settings.make_recipe import make
from edgevit.flows._jobs import _isolated
from edgevit.steps import open as opening
from edgevit.steps.resolve import resolve

SOURCE = """
from dataclasses import replace

from edgevit.core.plugins import Source
from edgevit.models import timm


def load(request):
    return timm.SOURCE.load(replace(request, source=f"timm:{request.argument}"))


SOURCE = Source(summary="timm by another name", syntax="mine:NAME", load=load, isolated=lambda argument: True)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (tmp_path / "mine_of_others.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgevit.sources]\nmine = mine_of_others:SOURCE\n")
    monkeypatch.syspath_prepend(tmp_path)
    _installed.cache_clear()
    yield
    _installed.cache_clear()


@pytest.mark.usefixtures("installed")
def test_its_models_are_resolved_loaded_and_kept_in_the_sandbox() -> None:
    recipe = make({"model": "mine:test_vit2", "random_weights": 0, "precision": "fp16", "to": "onnx"})
    work = resolve(recipe)
    assert (work.source, work.argument) == ("mine", "test_vit2")
    assert _isolated(recipe.model)
    model = opening.load_model(recipe)
    assert model.spec.source == "timm:test_vit2" and model.spec.outputs[0].shape == (1, 1000)
