"""Cosine similarity, averaged over the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Metric
from edgevit.validate.metrics._pairs import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def compute(reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None = None) -> float:
    """Mean over images of the cosine of the angle between the two output vectors, -1 to 1.

    Two zero vectors are equal and count 1, one zero vector counts 0, an image with NaN or infinity
    in the candidate counts -1, the worst value there is.

    Raises:
        ValueError: the shapes differ, there is nothing to compare, or the reference is not finite.
    """
    import numpy as np

    first, second = rows(reference, candidate)
    finite = np.asarray(np.isfinite(second).all(axis=1))
    second = np.where(finite[:, None], second, 0.0)
    # Divided by the largest value first: squares of very large or small numbers leave the range.
    first, second = _scaled(first), _scaled(second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    dots = (first * second).sum(axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines = np.where(lengths > 0, dots / np.where(lengths > 0, lengths, 1.0), np.where(both_zero, 1.0, 0.0))
    return float(np.clip(np.where(finite, cosines, -1.0).mean(), -1.0, 1.0))


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    largest = np.abs(values).max(axis=1, keepdims=True)
    return np.asarray(values / np.where(largest > 0, largest, 1.0))


METRIC: Final = Metric("cosine similarity, mean over images", "", False, compute)
