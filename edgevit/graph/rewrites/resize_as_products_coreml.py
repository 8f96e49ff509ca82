"""Write what Core ML's resize operators do not do as PyTorch does as products with constant matrices.

    y = A x B^T        x (N, C, H, W), A (H', H), B (W', W), y (N, C, H', W'); see `resize_as_products`

1. Nearest and bilinear resizing by sizes, and averages over parts of one size: Core ML's own operators, left alone.
2. Bicubic and trilinear resizing: Core ML has no operator; products.
3. Antialiased resizing, which coremltools takes for a plain one; scale factors whose sizes had to be rounded, which it
   drops or refuses; uneven averages, which it writes as a slice and a mean for each pixel: products.

Exact up to rounding.
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
