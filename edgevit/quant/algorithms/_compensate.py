"""GPTQ's loop: snap a weight to representable values column by column, and correct the columns that follow.

A layer computes W x with W of (outputs, inputs). Replacing W by Q changes what it gives by

    E |(W - Q) x|^2 = trace((W - Q) H (W - Q)^T),    H = E[x x^T], (inputs, inputs)

Rounding each weight alone ignores that inputs are correlated. The loop goes through the input channels j in order:

1. Take the column w_j (outputs,) as it stands by now, and choose its representable values q_j.
2. Scale the error: e = (w_j - q_j) / U_jj, with U the upper Cholesky factor of the inverse of H, H^-1 = U^T U.
3. Correct what is left: w_k = w_k - e U_jk for all k > j, which is the least squares answer to that error.

Columns go in blocks of 128: within a block each error is spread at once, behind it all errors of the block in one
product. H is damped by 1 % of its mean diagonal, so that inputs that never vary leave it invertible.

Source: Frantar et al. 2023, "GPTQ", https://arxiv.org/abs/2210.17323, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DAMPING = 0.01
BLOCK = 128


def compensate(
    weight: torch.Tensor, hessian: torch.Tensor, snap: Callable[[torch.Tensor, int], torch.Tensor]
) -> torch.Tensor:
    """GPTQ's loop (Frantar et al. 2023, algorithm 1), for several groups of rows at once.

    Args:
        weight: float64 (groups, rows, inputs).
        hessian: float64 (groups, inputs, inputs), second moments of the inputs of each group's rows.
        snap: (column (groups, rows), its index) -> the representable values to take instead; called in
            order of the columns.

    Returns:
        The representable weight, float64 (groups, rows, inputs).
    """
    import torch

    factor = inverse_factor(hessian)
    left = weight.clone()
    result = torch.zeros_like(weight)
    inputs = weight.shape[-1]
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = torch.zeros_like(left[..., start:stop])
        for column in range(start, stop):
            value = left[..., column]
            chosen = snap(value, column)
            result[..., column] = chosen
            error = (value - chosen) / factor[:, column, column, None]
            left[..., column:stop] -= error[..., None] * factor[:, None, column, column:stop]
            errors[..., column - start] = error
        left[..., stop:] -= errors @ factor[:, start:stop, stop:]
    return result


def inverse_factor(hessian: torch.Tensor) -> torch.Tensor:
    """The upper Cholesky factor of the inverse of each damped Gram matrix, (groups, inputs, inputs)."""
    import torch

    mean = hessian.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype)
    damped = hessian + (DAMPING * mean)[:, None, None] * identity
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
