"""Accuracy of a file against the float reference, from the outputs of both on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.report import Accuracy, Reference
from edgevit.validate.metrics import agreement
from edgevit.validate.metrics._pairs import right
from edgevit.validate.statistics import detectable_drop, drop_bounds, drop_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def measure_reference(outputs: Floats, labels: NDArray[np.int64] | None) -> Reference:
    """Top-1 and top-5 of the float model, float32 (N, C), in percent; None without labels."""
    if labels is None:
        return Reference(None, None, len(outputs))
    top1, top5 = (100.0 * float(right(outputs, labels, k).mean()) for k in (1, 5))
    return Reference(top1, top5, len(outputs))


def measure_accuracy(reference: Floats, candidate: Floats, labels: NDArray[np.int64] | None) -> Accuracy:
    """Top-1 of the candidate and its paired drop against the reference, float32 (N, C) each.

    Raises:
        ValueError: shapes or labels do not fit, or the reference is not finite.
    """
    n = len(reference)
    same = agreement.compute(reference, candidate)
    if labels is None:
        return Accuracy(None, None, None, same, n, None)
    before, after = right(reference, labels, 1), right(candidate, labels, 1)
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    return Accuracy(
        top1=100.0 * float(after.mean()),
        drop_pp=100.0 * (lost - gained) / n,
        drop_ci95=_percent(drop_interval(lost, gained, n)),
        agreement=same,
        n=n,
        detectable_drop_pp=100.0 * detectable_drop(lost + gained, n),
        top5=100.0 * float(right(candidate, labels, 5).mean()),
        drop_bounds95=_percent(drop_bounds(lost, gained, n)),
        lost=lost,
        gained=gained,
    )


def _percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100.0 * interval[0], 100.0 * interval[1]
