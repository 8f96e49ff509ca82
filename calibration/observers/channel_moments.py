"""Mean and variance of each channel (the last axis) over all images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Observer

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats


def measure(value: torch.Tensor) -> torch.Tensor:
    """(1, ..., channels) -> (2, channels): mean, variance."""
    import torch

    variance, mean = torch.var_mean(value.reshape(-1, value.shape[-1]), 0, correction=0)
    return torch.stack([mean, variance])


def combine(values: Floats) -> Floats:
    """(N, 2, channels) -> (2, channels): the variance within the images, and that of their means."""
    import numpy as np

    mean, within = values.astype(np.float64).mean(0)
    return np.stack([mean, within + values[:, 0].var(0, dtype=np.float64)]).astype(np.float32)


OBSERVER = Observer(
    summary="Mean and variance per channel of the last axis.", measure=measure, combine=combine
)
