"""Signal to quantization noise ratio over all values of all images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.decibels import LIMIT_DB, sqnr_db
from edgevit.core.plugins import Metric
from edgevit.validate.metrics._pairs import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def compute(reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None = None) -> float:
    """10 log10(sum reference^2 / sum (reference - candidate)^2) in dB, float32 (N, C) each.

    JSON has no infinity, so the value is kept within -200 and 200 dB: equal arrays give 200, a
    candidate with NaN or infinity anywhere gives -200, and so does noise where the reference is 0.

    Raises:
        ValueError: the shapes differ, there is nothing to compare, or the reference is not finite.
    """
    import numpy as np

    first, second = rows(reference, candidate)
    if not np.isfinite(second).all():
        return -LIMIT_DB
    signal, noise = float(np.square(first).sum()), float(np.square(first - second).sum())
    return sqnr_db(signal, noise)


METRIC: Final = Metric("signal to quantization noise ratio", "dB", False, compute)
