"""GPTQ: round weights one input channel after the other; those that follow make up for each rounding error.

For W (rows, inputs) with fixed scales s (rows, 1) or one per block of inputs, and the inputs' second moments
H = E[x x^T] (inputs, inputs), it chooses integers q in [-limit, limit] so that E |(W - s q) x|^2 becomes small. The
loop is that of `_compensate`; the choice for the column w_j that stands by then is

    q_j = clamp(round(w_j / s_j), -room, room)

Three cases:

1. No moments were measured (a layer that no calibration image reached): each weight to the nearest integer.
2. No saturation limit: room = limit.
3. A saturation limit L, for kernels that add two products in 16 bits (VPMADDUBSW on x86 without VNNI): weights are
   paired along the inputs, and the second of a pair has room = L - |first|. Its rounding error is corrected too.

Source: Frantar et al. 2023, https://arxiv.org/abs/2210.17323, algorithm 1.
"""

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
