"""The first half of the demo's model: trained convolutions and attention, in a third of the time of the whole.

`python:` takes it from this file. Its head, a ridge regression on the demo's calibration images, is stored beside it:

    python -m tests.edgevit.flows._hybrid    # fits it anew and says how many evaluation images it gets right
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.mobilevit import MobileVitBlock

ASSETS: Final = Path(__file__).resolve().parents[3] / "edgevit" / "assets" / "demo"
HEAD: Final = Path(__file__).with_name("_hybrid_head.safetensors")
SIZE: Final = 64
# The model and what nothing else says of it, and the names of its classes.
MODEL: Final = (
    *(f"python:{__file__}:hybrid", "--image-size", str(SIZE)),
    *("--preprocess", "normalize=imagenet", "--preprocess", "crop_pct=1.0"),
)
LABELS: Final = ("--labels", str(ASSETS / "labels.txt"))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def hybrid() -> torch.nn.Module:
    """Convolutions and attention, of (1, 3, 64, 64), normalised with ImageNet's mean and std, to (1, 10)."""
    made = body()
    made.head.fc = torch.nn.Linear(48, 10)
    made.head.fc.load_state_dict(load_file(HEAD))
    return made.eval()


def body() -> torch.nn.Module:
    """Its features, (N, 48): the first block of each of three stages, and one transformer layer."""
    made: torch.nn.Module = timm.create_model("mobilevit_xxs", num_classes=10)
    made.load_state_dict(load_file(ASSETS / "model.safetensors"))
    made.stages[1] = made.stages[1][:1]
    made.stages = made.stages[:3]
    for block in made.modules():
        if isinstance(block, MobileVitBlock):
            block.transformer = block.transformer[:1]
    made.final_conv = torch.nn.Identity()
    made.head.fc = torch.nn.Identity()
    return made.eval()


def images(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of `calibration` or `evaluation`, normalised: float32 (N, 3, 64, 64) and int64 (N,)."""
    with np.load(ASSETS / f"{name}.npz") as stored:
        small, labels = stored["images"], stored["labels"]
    pixels = [np.asarray(Image.fromarray(i).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for i in small]
    scaled = torch.from_numpy(np.stack(pixels)).float() / 255
    return ((scaled - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2), torch.from_numpy(
        labels
    ).long()


@torch.no_grad()
def fit() -> float:
    """Write the head; the share of the evaluation images that it gets right."""
    given, labels = images("calibration")
    made = body()
    features = made(given).double()
    mean, deviation = features.mean(0), features.std(0)
    scaled = (features - mean) / deviation
    wanted = torch.nn.functional.one_hot(labels, 10).double() * 10 - 1
    weight = (
        torch.linalg.solve(scaled.T @ scaled + 100 * torch.eye(48), scaled.T @ wanted) / deviation[:, None]
    )
    save_file(
        {"weight": weight.T.float().contiguous(), "bias": (wanted.mean(0) - mean @ weight).float()}, HEAD
    )
    given, labels = images("evaluation")
    return float((hybrid()(given).argmax(1) == labels).double().mean())


if __name__ == "__main__":
    print(f"right on {100 * fit():.1f} % of the evaluation images")
