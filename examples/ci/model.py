"""The model of this repository: a vision transformer of one block for pictures of 24x24 pixels."""

from __future__ import annotations

from torchvision.models import VisionTransformer

CLASSES = ("across", "down", "checks", "disc")


def build() -> VisionTransformer:
    """What the recipe names; edgevit loads model.safetensors into it."""
    return VisionTransformer(
        image_size=24,
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
        num_classes=len(CLASSES),
    )
