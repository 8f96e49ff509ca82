"""Round each weight to the nearest point of its grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rounding

if TYPE_CHECKING:
    import torch


def round_weight(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(out channels, ...) -> int8 of the same shape; half to even, clamped to [-127, 127]."""
    import torch

    return (weight.double() / scale.double()).round().clamp(-127, 127).to(torch.int8)


ALGORITHM = Rounding(summary="Weights: round to nearest.", observers=(), round=round_weight)
