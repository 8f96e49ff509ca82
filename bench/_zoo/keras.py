"""Keras models of docs/zoo.md, saved as NAME.keras with seeded weights.

KERAS_BACKEND=tensorflow python -m bench._zoo.keras NAME FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras

from tests.families import _keras_models as small


def vit_tiny() -> keras.Model:
    """ViT-Ti/16, its positions from a depthwise convolution."""
    return small.vit(size=224, patch=16, width=192, depth=12, heads=3, mlp_ratio=4, classes=1000)


def mobilevit_xxs() -> keras.Model:
    """Mehta and Rastegari 2022, table 4."""
    stages = (
        small.Stage(16),
        small.Stage(24, stride=2, repeats=3),
        small.Stage(48, stride=2, attention=64, depth=2),
        small.Stage(64, stride=2, attention=80, depth=4),
        small.Stage(80, stride=2, attention=96, depth=3),
    )
    return small.mobilevit(size=256, stem=16, stages=stages, last=320, heads=4, classes=1000)


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    model = {"vit_tiny": vit_tiny, "mobilevit_xxs": mobilevit_xxs}[name]()
    small.fill(model, seed=1)
    model.save(Path(folder) / f"{name}.keras")
