"""Largest magnitude of each channel of a feature map (axis 1) over all images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Observer

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats


def measure(value: torch.Tensor) -> torch.Tensor:
    """(1, channels, ...) -> (channels,)."""
    return value.abs().reshape(value.shape[0] * value.shape[1], -1).amax(1)


def combine(values: Floats) -> Floats:
    """(N, channels) -> (channels,)."""
    import numpy as np

    return np.asarray(values.max(0))


OBSERVER = Observer(
    summary="Largest magnitude per channel of a feature map (axis 1).", measure=measure, combine=combine
)
