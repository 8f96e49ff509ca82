"""Are the calibration images like those that a model is judged on? Statistics of the pixels of both.

Each image gives four numbers: brightness (mean of the luma of ITU-R BT.601), contrast (its standard deviation),
and two colour differences (mean of red minus luma, mean of blue minus luma), all on the scale 0 to 255. Two
sets differ in one of them where the difference of their means is

1. large beside the spread within the sets: Cohen's d = |difference| / pooled standard deviation, at least D;
2. no accident: Welch's t = |difference| / sqrt(v1 / n1 + v2 / n2), at least T;
3. large enough to matter: at least LEVELS of 255.

Sources: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition 1988, section 2.2; B. L. Welch,
Biometrika 34, 28-35, 1947.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from calibration.load import evenly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# One spread apart, half of one set lies beyond five sixths of the other; class folders alone rarely do that.
D: Final = 1.0
T: Final = 4.0
LEVELS: Final = 8.0
IMAGES: Final = 512  # of each set, evenly taken: more only make an accident less likely than it is
_LUMA: Final = (0.299, 0.587, 0.114)
_NAMES: Final = ("brightness", "contrast", "red beyond grey", "blue beyond grey")


def statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 (N, height, width, channels) -> float64 (N, 4): brightness, contrast, and the two colour differences.

    (N, 2) where there are no colours.
    """
    import numpy as np

    if pixels.shape[-1] != len(_LUMA):  # grey, or bands: no colours
        flat = pixels.reshape(len(pixels), -1)
        return np.stack([flat.mean(1, dtype=np.float64), flat.std(1, dtype=np.float64)], axis=1)
    luma_of = np.asarray(_LUMA, np.float32)
    rows = []
    for image in pixels:
        luma = image.astype(np.float32) @ luma_of
        red, _, blue = image.reshape(-1, 3).mean(0)
        brightness = float(luma.mean())
        rows.append((brightness, float(luma.std()), red - brightness, blue - brightness))
    return np.asarray(rows, np.float64)


def unlike(calibrate: NDArray[np.uint8], evaluate: NDArray[np.uint8]) -> tuple[str, ...]:
    """One sentence if the two sets, uint8 (N, height, width, 3) each, differ clearly; none if not."""
    first, second = (statistics(some[list(evenly(len(some), IMAGES))]) for some in (calibrate, evaluate))
    found = [
        f"{name} {first[:, index].mean():.0f} against {second[:, index].mean():.0f}"
        for index, name in enumerate(_NAMES[: first.shape[1]])
        if _differ(first[:, index], second[:, index])
    ]
    if not found:
        return ()
    return (
        f"the {len(calibrate)} calibration images are not like the {len(evaluate)} evaluation images: mean "
        f"{', '.join(found)} (of 255); ranges measured on them may not fit. Calibrate on images like those "
        "that the model will see",
    )


def _differ(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    if min(len(first), len(second)) < 2:
        return False
    difference = abs(float(first.mean() - second.mean()))
    variances = float(first.var(ddof=1)), float(second.var(ddof=1))
    spread = math.sqrt((variances[0] + variances[1]) / 2)
    error = math.sqrt(variances[0] / len(first) + variances[1] / len(second))
    return difference >= LEVELS and difference >= D * spread and difference >= T * error
