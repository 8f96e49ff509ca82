"""A folder as transformers' `save_pretrained` leaves it: a small ViT with random weights, its processor and labels.

python examples/hf_folder/make_folder.py my-model
"""

from __future__ import annotations

import sys
from pathlib import Path

LABELS = ("cat", "dog", "fox")


def make(folder: Path) -> None:
    """Write config.json, model.safetensors and preprocessor_config.json."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
