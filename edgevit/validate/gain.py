"""Is one of several alternatives clearly better than what was given, on the same images?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.validate.statistics import drop_bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Right = NDArray[np.bool_]

# Of all comparisons that one question makes, chance alone calls one clear this often.
FALSE_ALARMS: Final = 0.025


def surely_gained(before: Right, after: Right, tried: int) -> float:
    """What the accuracy rises by at least, as a fraction in [-1, 1]; negative where it may as well fall.

    Tango's one-sided bound on paired images at 1 - FALSE_ALARMS / tried (Bonferroni), so that the best
    of all alternatives is not taken for better because there are many.

    Args:
        before, after: whether the answer to an image is right; bool (N,), the same images.
        tried: how many alternatives there are, also those that were given up early.

    Raises:
        ValueError: no images.
    """
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    return -drop_bounds(lost, gained, len(before), 1 - FALSE_ALARMS / tried)[1]
