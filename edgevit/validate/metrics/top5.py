"""Top-5 accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Metric
from edgevit.validate.metrics._pairs import right

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def compute(reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None) -> float:
    """Percent of images whose label is among the candidate's five largest scores; `reference` is not used.

    Equal scores go to the lower index; an image with NaN or infinity among its scores is wrong.

    Raises:
        ValueError: labels are missing, too many or too few, or out of range.
    """
    return float(100.0 * right(candidate, labels, 5).mean())


METRIC: Final = Metric("top-5 accuracy of the candidate", "%", True, compute)
