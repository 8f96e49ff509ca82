"""Write what Core ML's resize operators do not do as PyTorch does as products with constant matrices.

Core ML has no bicubic and no trilinear operator. coremltools takes an antialiased resize for a plain one, drops or
refuses scale factors whose sizes had to be rounded, and writes uneven averages as a slice and a mean for each pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _resample

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgevit.graph._resample import Resize


def apply(program: ExportedProgram) -> int:
    """Replace every resize but nearest and bilinear ones by sizes, and averages over parts of one size."""
    return _resample.rewrite(program, _plain)


def _plain(resize: Resize, mode: str, corners: bool) -> bool:
    return mode in ("nearest", "bilinear")


REWRITE = Rewrite(
    summary="Resizing that Core ML does not do as PyTorch does as products with constant matrices (Core ML).",
    order=235,
    apply=apply,
    targets=("coreml",),
)
