"""Which output is judged, and what `--labels HEAD=FILE` may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgevit.core.errors import EdgevitError, UsageError
from edgevit.core.settings.plain import as_json, from_json
from edgevit.core.settings.recipe_file import save
from edgevit.core.types import Preprocess, TorchModel
from edgevit.flows import make_recipe as recipes
from edgevit.models._spec import build
from edgevit.steps.name_heads import name_heads


class Heads(nn.Module):
    def __init__(self, first: str) -> None:
        super().__init__()
        self.first, self.one, self.two = first, nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        mean = image.mean((2, 3))
        return {"map": image, self.first: self.one(mean), "age": self.two(mean)}


def model_of(first: str) -> TorchModel:
    return build(Heads(first), name="heads", source="it", preprocess=Preprocess(8, 8, (8, 8)))


def test_the_classifier_stays_first_and_else_the_first_that_is_named() -> None:
    age, kind = ("young", "old"), ("a", "b", "c")
    kept = name_heads(model_of("logits"), {"age": age}).spec
    assert kept.outputs[0].name == "logits" and not kept.labels and kept.heads["age"].labels == age
    given = model_of("kind")
    assert given.spec.output.task == "features"
    named = name_heads(given, {"age": age, "kind": kind})
    assert [output.name for output in named.spec.outputs] == ["age", "map", "kind"]
    assert named.spec.labels == age and named.spec.output.task == "single-label"
    assert named.spec.heads["kind"].labels == kind
    image = torch.randn(2, 3, 8, 8)
    before = dict(zip(("map", "kind", "age"), given.module(image), strict=True))
    for output, value in zip(named.spec.outputs, named.module(image), strict=True):
        assert torch.equal(value, before[output.name])


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        ({"ages": ("a", "b")}, "the model has no output 'ages'"),
        ({"map": ("a", "b")}, r"that output has shape \(1, 3, 8, 8\), which is no row of scores"),
        ({"age": ("a", "b", "c")}, "3 labels, but the model has 2 classes"),
    ],
)
def test_what_is_no_head_with_so_many_classes_is_refused(heads: Any, told: str) -> None:
    with pytest.raises(EdgevitError, match=told):
        name_heads(model_of("logits"), heads)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a.txt", Path("a.txt")),
        (["a.txt"], Path("a.txt")),
        (["a.txt", "age=b.txt"], {"": Path("a.txt"), "age": Path("b.txt")}),
        ({"age": "b.txt", "kind": "c.txt"}, {"age": Path("b.txt"), "kind": Path("c.txt")}),
        (["dir/x=y.txt"], Path("dir/x=y.txt")),
    ],
)
def test_the_flag_and_a_recipe_give_files_for_outputs(given: Any, read: Any, tmp_path: Path) -> None:
    made = recipes.make({"model": "demo", "labels": given})
    assert made.labels == read
    save(made, tmp_path / "r.toml")
    assert recipes.make({}, tmp_path / "r.toml") == made
    assert from_json(as_json(made)) == made


def test_two_files_for_one_output_are_refused() -> None:
    with pytest.raises(UsageError, match="--labels names the labels of 'age' twice"):
        recipes.make({"model": "demo", "labels": ["age=a.txt", "age=b.txt"]})
    with pytest.raises(UsageError, match="--labels was given twice"):
        recipes.make({"model": "demo", "labels": ["a.txt", "b.txt"]})
