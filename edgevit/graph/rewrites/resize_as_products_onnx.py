"""Write bicubic and antialiased resizing and uneven averages as products with constant matrices, for ONNX.

    y = A x B^T        x (N, C, H, W), A (H', H), B (W', W), y (N, C, H', W'); see `resize_as_products`

1. Nearest, bilinear and trilinear resizing, and averages over parts of one size: left to ONNX's operators.
2. Bicubic and antialiased resizing: ONNX's Resize has them, exactly but for antialiasing with aligned corners, which
   torch.onnx exports wrongly. ONNX Runtime computes it pixel by pixel: bicubic from 28x28 to 56x56 with 64 channels
   takes 127 ms on one thread, the two products 0.2 ms, antialiased 1.5 ms (`python -m bench.resize`).
3. Averages over parts of different sizes (adaptive pooling): products.

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
    """Replace every resize but nearest and linear ones, and averages over parts of one size."""
    return _resample.rewrite(program, _plain, any_scale=True)


def _plain(resize: Resize, mode: str, corners: bool) -> bool:
    return mode in ("nearest", "linear", "bilinear", "trilinear")


REWRITE = Rewrite(
    summary="Bicubic and antialiased resizing and uneven averages as products with constant matrices (ONNX).",
    order=235,
    apply=apply,
    targets=("onnx",),
)
