"""A source of models that another package brings, found through its entry point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgevit.core.errors import InputError, UsageError
from edgevit.core.registry import _installed
from edgevit.flows._jobs import _isolated
from edgevit.flows.make_recipe import make
from edgevit.steps import open as opening
from edgevit.steps.resolve import resolve

SOURCE = """
from dataclasses import replace

from edgevit.core.plugins import NotFromPlan, Source
from edgevit.models import timm


def load(request):
    return timm.SOURCE.load(replace(request, source=f"timm:{request.argument}"))


SOURCE = Source(
    summary="timm by another name",
    syntax="mine:NAME",
    load=load,
    isolated=lambda argument: True,
    path=lambda argument: argument if argument.endswith(".net") else None,
    headless=True,
)
SEALED = NotFromPlan("which is sealed", "open {model}")
SECRET = Source(summary="behind a key", syntax="secret:NAME", load=load, not_from_plan=SEALED)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (tmp_path / "mine_of_others.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edgevit.sources]\nmine = mine_of_others:SOURCE\nsecret = mine_of_others:SECRET\n"
    )
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


@pytest.mark.usefixtures("installed")
def test_it_says_itself_what_a_plan_and_a_model_without_classes_ask_of_it(tmp_path: Path) -> None:
    assert make({"model": "mine:a", "num_classes": 0}).num_classes == 0
    with pytest.raises(UsageError, match="models of mine, python and timm, not of secret"):
        make({"model": "secret:a", "num_classes": 0})

    def plan(model: str) -> str:
        made = {"settings": {"model": model}, "weights_sha256": "0", "calibration_digest": None}
        (tmp_path / "plan.json").write_text(json.dumps({"schema_version": 2, "made_with": made, "plans": []}))
        return str(tmp_path)

    assert make({"plan": plan("mine:a")}).model == "mine:a"
    with pytest.raises(InputError, match=r"MODEL mine:a.net, and a.net is not here"):
        make({"plan": plan("mine:a.net")})
    with pytest.raises(UsageError, match="was made with secret:a, which is sealed") as raised:
        make({"plan": plan("secret:a")})
    assert raised.value.hint == "open secret:a"
