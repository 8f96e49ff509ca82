"""LayerNorm to RMSNorm in float files: TFLite's layer norms need not subtract a mean that is not there.

    layer norm(x) = M x / sqrt(mean((M x)^2) + eps) * gamma + beta,   M = I - 1 1^T / C of (C, C)

M is linear. If every part that is added to a residual stream has its mean over the channels removed, the stream has
none, M x = x, and a subtraction and a mean fall away per norm. Weights (C, inputs) lose the mean of each column, biases
(C,) their mean, constants their mean over the channels. Exact up to rounding.

`edgevit.graph.streams` finds the streams and says which must stay. Files with a plan do the same before calibration, as
a fold of the plan (`edgevit/quant/algorithms/layernorm_to_rmsnorm.py`). Source: Ashkboos et al. 2024, "SliceGPT",
https://arxiv.org/abs/2401.15024, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import streams

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """See `edgevit.graph.streams`; how many norms need not subtract a mean any more."""
    return len(streams.centre(program))


REWRITE = Rewrite(
    summary="Leave the channels' mean out of residual streams, which layer norms subtract (float files).",
    order=207,
    apply=apply,
    targets=("tflite",),
    float_only=True,
)
