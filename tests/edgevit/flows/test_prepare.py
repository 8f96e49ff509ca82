"""What the preparing step must keep on large sets of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgevit.core import pixels as arithmetic
from edgevit.core import recipe as recipes
from edgevit.core._plain import to_plain
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.flows import _inspect, _prepare
from edgevit.flows._request import prepare_request
from tests.edgevit.flows._tiny import prepared, settings_of, write_model


def test_reference_normalises_a_few_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, 4), torch.nn.Flatten())
    outputs = (TensorSpec("logits", (1, 16), "float32"),)
    spec = ModelSpec("small", "python:small", Preprocess(8, 8, (8, 8)), outputs, (), "", 0)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), np.uint8)
    expected = module(torch.from_numpy(arithmetic.normalise(pixels, spec.preprocess))).detach().numpy()
    seen: list[int] = []
    normalise = arithmetic.normalise

    def counted(some: np.ndarray, preprocess: Preprocess) -> np.ndarray:
        seen.append(len(some))
        return normalise(some, preprocess)

    monkeypatch.setattr(arithmetic, "normalise", counted)
    found = _prepare._forward(TorchModel(spec, module), pixels, lambda event: None)
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)
    assert sum(seen) == 70 and max(seen) <= 32


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
    seen = _inspect.model(to_plain(prepare_request(recipe, tmp_path, ())), lambda event: None)
    assert seen["warnings"] == list(found.warnings[:1])
    assert seen["preprocess"] is None and seen["preprocess_origin"].startswith("unknown")
