"""Write what TFLite's resize operators do not do as PyTorch does as products with constant matrices.

Resizing is linear and separable: each output row is a weighted sum of input rows, with weights by the sizes alone.

    y = A x B^T        x (N, C, H, W), A (H', H), B (W', W), y (N, C, H', W')

A and B are what PyTorch's own operator makes of the unit vectors of an axis, so that mode, aligned corners,
antialiasing and scale factors are those of the model by construction.

1. Bilinear by sizes, nearest where each pixel is repeated a whole number of times, averages over parts of one size:
   TFLite's own operators, left alone.
2. Bicubic and antialiased resizing, for which TFLite has none; scale factors, where it takes the ratio of the sizes;
   nearest pixels, which it rounds to other places: products.
3. Averages over parts of different sizes (adaptive pooling from 16 to 7 pixels) would be gathered at rank 6: products.

Exact up to rounding. Filters: Keys 1981 (bicubic, a = -0.75 in PyTorch, -0.5 antialiased).
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
