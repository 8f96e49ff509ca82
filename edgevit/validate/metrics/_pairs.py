"""What the metrics share: both outputs as float64 rows, and which rows of the candidate are usable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


def rows(reference: NDArray[np.floating], candidate: NDArray[np.floating]) -> tuple[Rows, Rows]:
    """Both as float64 (N, C); trailing axes are flattened.

    Raises:
        ValueError: the shapes differ, there is nothing to compare, or the reference is not finite.
    """
    import numpy as np

    if reference.shape != candidate.shape:
        raise ValueError(f"shapes differ: reference {reference.shape}, candidate {candidate.shape}")
    if reference.size == 0:
        raise ValueError("nothing to compare: the outputs are empty")
    first = np.asarray(reference, dtype=np.float64).reshape(len(reference), -1)
    if not np.isfinite(first).all():
        raise ValueError(
            "the reference outputs hold NaN or infinity, so that nothing can be held against them"
        )
    return first, np.asarray(candidate, dtype=np.float64).reshape(len(candidate), -1)


def right(candidate: NDArray[np.floating], labels: NDArray[np.int64] | None, k: int) -> NDArray[np.bool_]:
    """Per image, whether its label is among the k largest scores; bool (N,).

    Equal scores go to the lower index, as argmax does. An image with NaN or infinity among its
    scores is wrong.

    Raises:
        ValueError: there are no labels, their number differs, or one is no index of a score.
    """
    import numpy as np

    if labels is None:
        raise ValueError("accuracy needs labels")
    scores = np.asarray(candidate, dtype=np.float64)
    n, classes = scores.shape
    if len(labels) != n or n == 0:
        raise ValueError(f"{len(labels)} labels for {n} images")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {classes} scores")
    own = scores[np.arange(n), labels][:, None]
    ahead = (scores > own) | ((scores == own) & (np.arange(classes) < labels[:, None]))
    return np.asarray((ahead.sum(axis=1) < k) & np.isfinite(scores).all(axis=1))
