"""How often both name the same class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Metric
from edgevit.validate.metrics._pairs import right, rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def compute(
    reference: NDArray[np.floating], candidate: NDArray[np.floating], labels: NDArray[np.int64] | None = None
) -> float:
    """Percent of images on which the largest score of both, (N, C) each, is the same class.

    Equal scores go to the lower index; an image with NaN or infinity in the candidate disagrees.

    Raises:
        ValueError: the shapes differ, there is nothing to compare, or the reference is not finite.
    """
    first, second = rows(reference, candidate)
    return float(100.0 * right(second, first.argmax(axis=1), 1).mean())


METRIC: Final = Metric("top-1 agreement with the reference", "%", False, compute)
