"""What the preparing step must keep on large sets of images."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from edgevit.flows import make_recipe as recipes
from edgevit.steps import inspect
from edgevit.steps.messages import PrepareRequest
from tests.edgevit.flows._tiny import prepared, settings_of, write_model

PLACED = """
import torch
class Placed(torch.nn.Module):
    def __init__(self, side=2):
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Linear(8, 4)
        self.pos_embed = torch.nn.Parameter(torch.rand(1, side * side, 8))
    def forward(self, x):
        return self.head((self.stem(x).flatten(2).transpose(1, 2) + self.pos_embed).mean(1))
"""


def test_what_a_source_changed_and_what_it_does_not_know_is_told(tmp_path: Path) -> None:
    """Weights trained at 32x32 pixels in a model for 16x16."""
    folder = write_model(tmp_path)
    (folder / "placed.py").write_text(PLACED)
    made: dict[str, type[torch.nn.Module]] = {}
    exec(PLACED, made)
    save_file(made["Placed"](4).state_dict(), folder / "w.safetensors")
    changes = {"model": f"python:{folder / 'placed.py'}:Placed", "random_weights": None}
    changes["weights"] = str(folder / "w.safetensors")
    found = prepared(folder, tmp_path / "work", **changes, preprocess={"normalize": "0..1"})
    assert "pos_embed from (1, 16, 8) to (1, 4, 8)" in found.warnings[0]
    assert found.spec.preprocess_origin.startswith("--preprocess (normalize); assumed: color=rgb")
    recipe = recipes.make(settings_of(folder, **changes))
    seen = inspect.model(PrepareRequest(work=str(tmp_path), recipe=recipe), lambda event: None)
    assert seen.warnings == found.warnings[:1]
    assert seen.preprocess is None and seen.preprocess_origin.startswith("unknown")
