"""Quantization parameters: what an integer stands for, and the integers that there are.

real = scale * (integer - zero point), Jacob et al. 2018, https://arxiv.org/abs/1712.05877, equation 1. Weights are
symmetric (zero point 0), so that their integers leave out the lowest one: int8 from -127, int4 from -7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Lowest and highest integer of each type.
LIMITS: Final = {
    "int4": (-8, 7),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
# Types of 16 bits, for activations that do not bear 8.
WIDE: Final = ("int16", "uint16")
# Largest magnitude of a symmetric weight.
WEIGHT_LIMITS: Final = {"int4": 7, "int8": 127}


@dataclass(frozen=True, slots=True)
class QuantParams:
    """An affine grid: real = scale * (integer - zero_point).

    Attributes:
        dtype: of the integers (weights are symmetric: int8 in [-127, 127], int4 in [-7, 7], stored as int8 in the
            plan; int16 has the zero point 0).
        scale, zero_point: one value (per tensor) or one per index of `axis`; with `block`, for each
            index of `axis` (which is 0) one per block, row by row.
        axis: the channel axis of the tensor as PyTorch stores it, None when per tensor.
        block: how many neighbours along axis 1, the input channels of a linear layer, share a scale.
    """

    dtype: Literal["int4", "int8", "uint8", "int16", "uint16", "int32"]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Palette:
    """A weight as indices into short lists of values, one list for each group of output channels.

    The values are the float32 tensor `SITE.lut` (groups, 2**bits) of the plan, the indices the uint8
    tensor `SITE.weight` of the weight's shape.

    Attributes:
        bits: of an index.
        group: output channels that share a list.
    """

    bits: int
    group: int


@dataclass(frozen=True, slots=True)
class DynamicQuantization:
    """How a kernel chooses the grid of its input at run time.

    Attributes:
        dtype: of the integers; int8 without `symmetric` and uint8 have a zero point.
        per: one grid for the whole tensor, for each token (a row of the last axis), or for each block
            of `block` neighbours in a row.
        symmetric: zero point 0, the largest magnitude becomes 127.
        normalized: each token is divided by its largest magnitude before, and multiplied by it again behind
            the product; then one grid for the whole tensor fits all tokens alike.
    """

    dtype: Literal["int8", "uint8"]
    per: Literal["tensor", "token", "block"]
    symmetric: bool
    block: int | None = None
    normalized: bool = False


def weight_scales(params: QuantParams, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The scale of every element of a weight, float32, broadcastable to it.

    Args:
        shape: of the weight, (out channels, in channels, ...); scales in blocks belong to a linear layer.
    """
    import numpy as np

    scale = np.asarray(params.scale, np.float32)
    if params.block is None:
        return scale.reshape(-1, *[1] * (len(shape) - 1))
    return np.repeat(scale.reshape(shape[0], -1), params.block, axis=1).reshape(shape)
