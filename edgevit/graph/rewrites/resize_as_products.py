"""Write what TFLite's resize operators do not do as PyTorch does as products with constant matrices.

TFLite has no bicubic and no antialiased operator, samples at the ratio of the sizes whatever scale factor was
given, and rounds nearest pixels to other places than PyTorch's unless each is repeated. Averages over parts of
different sizes (adaptive pooling from 16 to 7 pixels, say) would be gathered at rank 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _resample

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgevit.graph._resample import Resize


def apply(program: ExportedProgram) -> int:
    """Replace every resize but bilinear ones, repeated pixels and averages over parts of one size."""
    return _resample.rewrite(program, _plain, expand=True)


def _plain(resize: Resize, mode: str, corners: bool) -> bool:
    return mode == "bilinear" or (mode == "nearest" and resize.repeats)


REWRITE = Rewrite(
    summary="Resizing that TFLite does not do as PyTorch does as products with constant matrices (TFLite).",
    order=235,
    apply=apply,
    targets=("tflite",),
)
