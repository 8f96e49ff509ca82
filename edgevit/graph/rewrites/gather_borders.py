"""Write reflected, repeated and circular borders as gathered rows, for TFLite.

litert-torch computes their indices while the model runs, in functions of their own, which become further subgraphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _borders

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Replace every border that is not a constant."""
    return _borders.gather(program, _borders.MODES)


REWRITE = Rewrite(
    summary="Reflected, repeated and circular borders as one gather of rows per axis (TFLite).",
    order=232,
    apply=apply,
    targets=("tflite",),
)
