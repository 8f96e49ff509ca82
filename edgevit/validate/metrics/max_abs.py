"""The largest single difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Metric
from edgevit.validate.metrics._pairs import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def compute(reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None = None) -> float:
    """Largest absolute difference, in the unit of the outputs.

    A candidate with NaN or infinity gives the largest float32, 3.4e38, since JSON has no infinity.

    Raises:
        ValueError: the shapes differ, there is nothing to compare, or the reference is not finite.
    """
    import numpy as np

    first, second = rows(reference, candidate)
    worst = float(np.finfo(np.float32).max)
    if not np.isfinite(second).all():
        return worst
    return min(float(np.abs(first - second).max()), worst)


METRIC: Final = Metric("largest absolute difference", "", False, compute)
