"""Largest magnitude of each channel (the last axis) over all images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Observer

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats


def measure(value: torch.Tensor) -> torch.Tensor:
    """(1, ..., channels) -> (channels,)."""
    return value.abs().reshape(-1, value.shape[-1]).amax(0)


def combine(values: Floats) -> Floats:
    """(N, channels) -> (channels,)."""
    import numpy as np

    return np.asarray(values.max(0))


OBSERVER = Observer(
    summary="Largest magnitude per channel of the last axis.", measure=measure, combine=combine
)
