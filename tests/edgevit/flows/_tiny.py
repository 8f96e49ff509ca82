"""A model of a few thousand weights with its images, and the preparing step on it in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgevit.flows import make_recipe as recipes
from edgevit.flows._run_prepare import backends
from edgevit.steps import prepare
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.resolve import resolve

NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(5)))
        self.head = nn.Linear(16, 4)

    def forward(self, image):
        value = self.norm(self.stem(image).flatten(2).transpose(1, 2))
        return self.head(self.layers(value).mean(1))
"""


def write_model(folder: Path) -> Path:
    """nets.py, and two sets of 64 images with labels: images.npz and other.npz."""
    (folder / "nets.py").write_text(NETS)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=np.arange(64) % 4)
    np.savez(folder / "other.npz", images=255 - pixels, labels=np.arange(64) % 4)
    return folder


def settings_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe for ONNX w8a8."""
    return {
        "model": f"python:{folder / 'nets.py'}:Net",
        "random_weights": 0,
        "image_size": "16",
        "to": "onnx",
        "precision": "w8a8",
        "calibrate": str(folder / "images.npz"),
        "calibration_count": 64,
        **changes,
    }


def prepared(folder: Path, work: Path, **changes: Any) -> Prepared:
    """What the preparing step gives; its files go to `work`."""
    work.mkdir()
    wanted = resolve(recipes.make(settings_of(folder, **changes)))
    request = PrepareRequest(work=str(work), recipe=wanted.recipe, backends=backends(wanted))
    return prepare.prepare(request, lambda event: None)
