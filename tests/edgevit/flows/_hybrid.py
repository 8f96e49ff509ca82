"""The demo's model with one transformer layer where it has two to four: trained, and converted in half the time.

`python:` takes it from this file; without the layers it is right on four images in five.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import timm
import torch
from safetensors.torch import load_file
from timm.models.mobilevit import MobileVitBlock

ASSETS: Final = Path(__file__).resolve().parents[3] / "edgevit" / "assets" / "demo"
# The model and what nothing else says of it, and the names of its classes.
MODEL: Final = (
    *(f"python:{__file__}:hybrid", "--image-size", "128"),
    *("--preprocess", "normalize=imagenet", "--preprocess", "crop_pct=1.0"),
)
LABELS: Final = ("--labels", str(ASSETS / "labels.txt"))


def hybrid() -> torch.nn.Module:
    """Convolutions and attention, of (1, 3, 128, 128), normalised with ImageNet's mean and std, to (1, 10)."""
    made: torch.nn.Module = timm.create_model("mobilevit_xxs", num_classes=10)
    made.load_state_dict(load_file(ASSETS / "model.safetensors"))
    for block in made.modules():
        if isinstance(block, MobileVitBlock):
            block.transformer = block.transformer[:1]
    return made.eval()
