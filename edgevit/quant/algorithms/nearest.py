"""Round each weight to the nearest integer of its scale.

    q = clamp(round(w / s), -limit, limit)        w, q (rows, inputs); s broadcasts against them

Halves go to the even integer, as in IEEE 754 and in every runtime here. The grid is symmetric: limit is 127 for int8
and 7 for int4, so that -q exists for every q.

With a saturation limit L, weights are paired along the inputs (0 and 1, 2 and 3, ...) and the second of each pair is
clamped to L - |first|: kernels that multiply bytes and add pairs in 16 bits then never saturate. An odd last column
has no partner and stays.

Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", https://arxiv.org/abs/2106.08295, section 2.
"""

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
