"""How many channels the images of a module have."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

USUAL = 3


def channels_of(module: torch.nn.Module, size: tuple[int, int]) -> int:
    """Three, unless the first convolution takes another number and the module fails on three.

    Args:
        size: (height, width) of an image.
    """
    import torch

    first = next((part for part in module.modules() if isinstance(part, torch.nn.Conv2d)), None)
    if first is None or first.in_channels == USUAL:
        return USUAL
    training = module.training
    found = first.in_channels
    # A model may raise anything: it does not take three channels, or what is wrong is told when it is described.
    with contextlib.suppress(Exception), torch.no_grad():
        module.eval()(torch.zeros(1, USUAL, *size))
        found = USUAL
    module.train(training)
    return found
