"""Round each weight to the nearest point of its grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rounding

if TYPE_CHECKING:
    import torch


def round_weight(
    weight: torch.Tensor,
    scale: torch.Tensor,
    hessian: torch.Tensor | None,
    limit: int,
    saturation_limit: int | None,
) -> torch.Tensor:
    """Half to even, clamped to [-limit, limit]; where a pair is too large, the second gives way."""
    import torch

    steps = (weight / scale).round().clamp(-limit, limit)
    if saturation_limit is not None and steps.shape[-1] > 1:
        even = steps.shape[-1] // 2 * 2
        room = saturation_limit - steps[..., 0:even:2].abs()
        steps[..., 1:even:2] = steps[..., 1:even:2].clamp(-room, room)
    return steps.to(torch.int8)


ALGORITHM = Rounding(summary="Weights: round to nearest.", observers=(), round=round_weight)
