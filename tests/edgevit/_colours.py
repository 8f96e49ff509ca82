"""A model that is right on what it was made for, and a file of it that PyTorch wrote: what a checkpoint, labels and
images must give when they are read as they are meant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch

from tests._command import edgevit

# Minus the squared distance of the mean colour to red, green, blue and grey, without what all four have in common.
NETS: Final = """
import torch
from torch import nn

class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.stem, self.head = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 4)

    def forward(self, image):
        return self.head(self.stem(image).mean((2, 3)))
"""
COLOURS: Final = {
    "red": (204, 51, 51),
    "green": (51, 204, 51),
    "blue": (51, 51, 204),
    "grey": (128, 128, 128),
}


def module(trained: bool = True) -> torch.nn.Module:
    """The net, with the weights of what it should know or with random ones."""
    scope: dict[str, Any] = {}
    exec(NETS, scope)
    made: torch.nn.Module = scope["Colours"]().eval()
    if trained:
        centres = torch.tensor(list(COLOURS.values())) / 255
        bias = -(centres**2).sum(1)
        made.load_state_dict(
            {"stem.weight": torch.eye(3)[..., None, None], "head.weight": 2 * centres, "head.bias": bias}
        )
    return made


def write(folder: Path) -> None:
    """nets.py, and model.onnx of the trained net."""
    (folder / "nets.py").write_text(NETS)
    image = torch.zeros(1, 3, 16, 16)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "dynamo": False}
    torch.onnx.export(module(), (image,), folder / "model.onnx", **names)


def model(folder: Path) -> tuple[str, ...]:
    return (f"python:{folder / 'nets.py'}:Colours", "--image-size", "16", "--preprocess", "normalize=0..1")


def validated(folder: Path, weights: Path, *flags: str | Path) -> dict[str, Any]:
    """What `validate` says of PyTorch's file of the trained net against the net with `weights`: its report."""
    reference = ("--reference", *model(folder), "--weights", weights)
    done = edgevit("validate", folder / "model.onnx", *reference, *flags, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
