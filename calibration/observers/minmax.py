"""Smallest and largest value of a tensor over all images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Observer

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats


def measure(value: torch.Tensor) -> torch.Tensor:
    """Any shape -> (2,): minimum, maximum."""
    import torch

    return torch.stack([value.amin(), value.amax()])


def combine(values: Floats) -> Floats:
    """(N, 2) -> (2,): the minimum of the minima, the maximum of the maxima."""
    import numpy as np

    return np.stack([values[:, 0].min(), values[:, 1].max()])


OBSERVER = Observer(summary="Minimum and maximum of the whole tensor.", measure=measure, combine=combine)
