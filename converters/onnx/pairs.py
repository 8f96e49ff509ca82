"""Weights with which x86 kernels that add pairs of products in 16 bits cannot overflow.

VPMADDUBSW, the instruction of 8-bit products on x86 without VNNI, multiplies uint8 by int8 and adds two
neighbours with saturation at 16 bits. 255 * (|w[2k]| + |w[2k+1]|) stays below 2^15 where the magnitudes of
two neighbours sum to 128 at most. Depthwise convolutions multiply without that instruction.
https://www.intel.com/content/www/us/en/docs/intrinsics-guide/index.html#text=_mm256_maddubs_epi16
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT: Final = 128


def sums(weight: NDArray[np.int8]) -> NDArray[np.int32]:
    """Sums of two neighbours' magnitudes, (out channels, pairs), in the order in which the kernels add.

    Args:
        weight: int8 (out, in) or (out, in / groups, height, width); a convolution's products are added
            with the input channel running fastest.
    """
    import numpy as np

    if weight.ndim > 2:
        if weight.shape[1] == 1:
            return np.zeros((len(weight), 0), np.int32)  # depthwise: no pairs
        weight = np.moveaxis(weight, 1, -1)
    rows = np.abs(weight.reshape(len(weight), -1).astype(np.int32))
    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    found: NDArray[np.int32] = even[:, 0::2] + even[:, 1::2]
    return found
