"""Write circular borders as gathered rows: Core ML has no such padding, ONNX from operator set 19 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _borders

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Replace circular borders; those that mirror or repeat are operators of both."""
    return _borders.gather(program, ("circular",))


REWRITE = Rewrite(
    summary="Circular borders as one gather of rows per axis (ONNX and Core ML).",
    order=232,
    apply=apply,
    targets=("onnx", "coreml"),
)
