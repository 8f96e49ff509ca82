"""Run the calibration images once and keep a few numbers of each tensor that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.plugins import Observer
from edgevit.core.types import Stats

if TYPE_CHECKING:
    import torch

    Look = Callable[[str, torch.Tensor], Mapping[str, torch.Tensor]]


def collect(
    run: Callable[[Look], Mapping[str, torch.Tensor]],
    wanted: Mapping[str, tuple[str, ...]],
    observers: Mapping[str, Observer],
    images: int,
) -> Stats:
    """Measure each wanted tensor with each of its observers.

    Args:
        run: executes the model on all images; it calls the given function with every tensor's name
            and its value for one image, and returns what that gave, stacked over the images.
        wanted: tensor -> names of observers.
        images: how many images `run` uses.

    Raises:
        InputError: an activation is not finite; the message names the first such tensor.
    """
    import numpy as np

    def look(tensor: str, value: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {f"{tensor}\t{name}": observers[name].measure(value) for name in wanted.get(tensor, ())}

    values = {}
    for key, stacked in run(look).items():
        tensor, _, name = key.partition("\t")
        combined = observers[name].combine(np.asarray(stacked.numpy(), np.float32))
        if not np.isfinite(combined).all():
            raise InputError(
                f"the activation {tensor} is not finite on the calibration images",
                "check the model's weights and its preprocessing (mean, std)",
            )
        values[tensor, name] = combined
    return Stats(values, images)
