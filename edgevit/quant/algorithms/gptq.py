"""Round weights one input channel after the other; those that follow make up for each rounding error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rounding
from edgevit.quant.algorithms._compensate import compensate
from edgevit.quant.algorithms.nearest import round_weight as nearest

if TYPE_CHECKING:
    import torch


def round_weight(
    weight: torch.Tensor,
    scale: torch.Tensor,
    hessian: torch.Tensor | None,
    limit: int,
    saturation_limit: int | None,
) -> torch.Tensor:
    """GPTQ (Frantar et al. 2023, algorithm 1) with fixed scales; to nearest where nothing was measured."""
    import torch

    if hessian is None:
        return nearest(weight, scale, hessian, limit, saturation_limit)
    steps = torch.zeros_like(weight)
    scales = scale.expand_as(weight)

    def snap(column: torch.Tensor, index: int) -> torch.Tensor:
        room = torch.full_like(column, limit)
        if saturation_limit is not None and index % 2:
            room = room.minimum(saturation_limit - steps[..., index - 1].abs())
        steps[..., index] = (column / scales[..., index]).round().clamp(-room, room)
        return steps[..., index] * scales[..., index]

    compensate(weight, hessian, snap)
    return steps.to(torch.int8)


ALGORITHM = Rounding(
    summary="Weights: GPTQ, each rounding error made up for by the weights that follow.",
    observers=(),
    round=round_weight,
)
