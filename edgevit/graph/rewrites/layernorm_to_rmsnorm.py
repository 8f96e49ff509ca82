"""Leave the mean over the channels out of residual streams: TFLite's layer norms then need not subtract it."""

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
