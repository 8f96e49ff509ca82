"""Draw the pictures, train the model, and write what the recipe reads: `python train.py`, some seconds on one core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from model import CLASSES, build
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F

SIZE = 24
STEPS = 400
HERE = Path(__file__).parent


def draw(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (count, 24, 24, 3) of stripes, checks or a disc in two colours, and their classes (count,)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIZE, SIZE))
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = rng.integers(len(CLASSES), size=count)
    for picture, label in zip(pictures, labels, strict=True):
        width, shift_y, shift_x = rng.integers(2, 6), *rng.integers(0, 8, 2)
        across, down = (y + shift_y) // width % 2, (x + shift_x) // width % 2
        disc = (y - 8 - shift_y) ** 2 + (x - 8 - shift_x) ** 2 < (3 + width) ** 2
        shape = (across, down, across ^ down, disc)[label]
        back, contrast = rng.integers(64, 192, 3), rng.choice((-1, 1), 3) * rng.integers(6, 40, 3)
        picture[:] = np.where(shape[..., None], back + contrast, back)
    return pictures, labels


def train() -> None:
    """Train on drawn pictures; the seeds of what is committed are others than those of the training."""
    torch.manual_seed(0)
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    for step in range(STEPS):
        pictures, labels = draw(128, seed=1000 + step)
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        loss = F.cross_entropy(model(images), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    save_file(model.state_dict(), HERE / "model.safetensors")


if __name__ == "__main__":
    for name, count, seed in (("calibrate", 64, 1), ("evaluate", 1000, 2)):
        pictures, labels = draw(count, seed)
        np.savez_compressed(HERE / f"{name}.npz", images=pictures, labels=labels)
    (HERE / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    train()
