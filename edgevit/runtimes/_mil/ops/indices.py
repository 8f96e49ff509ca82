"""Indices of MIL's gather and scatter operations, checked as the operator set says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor


def places(indices: Tensor, size: int, validated: bool | None) -> Tensor:
    """Indices (any shape) into an axis of `size` as int64 positions 0 .. size - 1.

    Args:
        validated: the operation's `validate_indices`. None, before iOS 17: negative ones count from the
            end. From iOS 17 on negative ones are outside of the axis; True is Core ML's promise to stop
            at those outside, with False what they give is undefined.

    Raises:
        InputError: an index outside that Core ML refuses too.
        UnsupportedError: an index outside whose result the operator set leaves undefined.

    Source: `scatter` and `gather` of the operator set for iOS 15 and iOS 17.
    """
    import torch

    wide = indices.long()
    lowest = -size if validated is None else 0
    outside = wide[(wide < lowest) | (wide >= size)]
    if outside.numel():
        found = f"the index {int(outside[0])} is outside of {lowest} .. {size - 1}"
        if validated is False:
            raise UnsupportedError(
                f"{found}, and without validate_indices what it gives is undefined in Core ML",
                "from iOS 17 on add the axis' size to negative indices before the operation",
            )
        raise InputError(found, "keep indices within the axis: Core ML reads elsewhere what is beyond it")
    return torch.where(wide < 0, wide + size, wide)
