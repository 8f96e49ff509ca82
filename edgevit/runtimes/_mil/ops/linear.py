"""MIL products: linear, matmul, einsum and attention."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Final

from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def _of_one_type(*values: Tensor) -> tuple[Tensor, ...]:
    """The tensors, as floats where any of them is one: PyTorch's products take no mixture."""
    import torch

    wanted = functools.reduce(torch.promote_types, (value.dtype for value in values))
    return tuple(value.to(wanted) for value in values)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[.., o] = sum over i of x[.., i] weight[o, i] + bias[o]; x (..., in), weight (out, in), bias (out,)."""
    import torch.nn.functional as F

    if bias is None:
        return F.linear(*_of_one_type(x, weight))
    return F.linear(*_of_one_type(x, weight, bias))


def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """z[.., i, j] = sum over k of x[.., i, k] y[.., k, j], the axes in front broadcast against each other.

    Args:
        x, y: (..., I, K) and (..., K, J).
        transpose_x, transpose_y: the last two axes of that side are exchanged first.
    """
    left = x.transpose(-1, -2) if transpose_x and x.dim() > 1 else x
    right = y.transpose(-1, -2) if transpose_y and y.dim() > 1 else y
    left, right = _of_one_type(left, right)
    return left @ right


def einsum(values: tuple[Tensor, ...], equation: str) -> Tensor:
    """The product of two tensors that an equation such as "nchw,nhwu->ncwu" names.

    Args:
        values: two tensors, an index letter for each of their axes.
        equation: letters that only the inputs have are summed over.
    """
    import torch

    result: Tensor = torch.einsum(equation, *values)
    return result


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Tensor:
    """softmax(query key^T / sqrt(E) + mask) value; (..., L, E), (..., S, E), (..., S, EV).

    A boolean mask keeps the scores where it is true.
    """
    import torch

    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


OPERATIONS: Final[Kernels] = {
    "linear": Kernel(linear),
    "matmul": Kernel(matmul),
    "einsum": Kernel(einsum),
    "scaled_dot_product_attention": Kernel(scaled_dot_product_attention),
}
