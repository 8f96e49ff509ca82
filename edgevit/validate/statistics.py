"""Paired comparison of two classifiers on the same images, and intervals for proportions.

Two models that see the same images differ only where exactly one of them is right: `lost` images on
which the reference alone is right, `gained` images on which the candidate alone is. The interval is
Tango's score interval (T. Tango, Equivalence test and confidence interval for the difference in
proportions for the paired-sample design, Statistics in Medicine 17, 891-908, 1998): it needs only
lost, gained and n, and unlike the Wald interval it does not collapse to a point when there are few
discordant pairs, which is the usual case for a good compression.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95
POWER: Final = 0.8
_HALVINGS: Final = 200


def drop_interval(lost: int, gained: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of the drop in accuracy, (lost - gained) / n, as a fraction in [-1, 1].

    Raises:
        ValueError: n is 0, a count is negative, or there are more discordant images than images.
    """
    return drop_bounds(lost, gained, n, (1 + confidence) / 2)


def drop_bounds(lost: int, gained: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Lower and upper one-sided bound of the drop, each at `confidence`, as fractions in [-1, 1].

    A claim "the drop is at most the limit" holds at this confidence if the upper bound is at most
    the limit, "it is more than the limit" if the lower bound is above it.

    Raises:
        ValueError: n is 0, a count is negative, or there are more discordant images than images.
    """
    if n < 1 or min(lost, gained) < 0 or lost + gained > n:
        raise ValueError(f"impossible counts: {lost} lost and {gained} gained of {n} images")
    z = NormalDist().inv_cdf(confidence)
    # By symmetry the lower bound is minus the upper bound with the models exchanged.
    return -_upper(gained, lost, n, z), _upper(lost, gained, n, z)


def images_needed(limit: float, confidence: float = CONFIDENCE) -> int | None:
    """The fewest images on which a drop of at most `limit`, a fraction, can be shown where no image changes.

    With nothing lost and nothing gained Tango's score at the limit is -sqrt(n limit / (1 - limit)), so that
    n >= z^2 (1 - limit) / limit.

    Returns:
        None for a limit of 0, which no number of unchanged images shows.
    """
    if limit <= 0:
        return None
    z = NormalDist().inv_cdf(confidence)
    return max(1, math.ceil(z * z * (1 - limit) / limit))


def smallest_limit(n: int, confidence: float = CONFIDENCE) -> float:
    """The smallest limit, a fraction, that `n` images of which none changes can show: `images_needed` turned round."""
    z = NormalDist().inv_cdf(confidence)
    return z * z / (n + z * z)


def images_to_decide(
    lost: int, gained: int, n: int, limit: float, confidence: float = CONFIDENCE
) -> int | None:
    """How many images decide about `limit`, a fraction, if the shares of lost and gained ones stay as they are.

    Tango's score of k times the counts is sqrt(k) times as large, so it reaches the quantile at
    k = (z / score)^2.

    Returns:
        None where the observed drop is the limit itself: then no number does.
    """
    score = tango_score(lost, gained, n, limit)
    if score == 0 or not math.isfinite(score):
        return None
    z = NormalDist().inv_cdf(confidence)
    return math.ceil(n * (z / score) ** 2)


def _upper(lost: int, gained: int, n: int, z: float) -> float:
    """The drop at which the score statistic has fallen to -z."""
    estimate = (lost - gained) / n
    if estimate == 1.0:
        return 1.0
    return _root(lambda drop: tango_score(lost, gained, n, drop) + z, estimate, 1.0)


def tango_score(lost: int, gained: int, n: int, drop: float) -> float:
    """Score statistic of the hypothesis that the true drop is `drop`; standard normal under it.

    The probability of a gained image is replaced by its maximum likelihood estimate given the
    hypothesis, the larger root of 2n q^2 + B q + C = 0 (Tango 1998, equations 14 to 17).
    """
    b = -(lost + gained) + (2 * n - lost + gained) * drop
    c = -gained * drop * (1 - drop)
    q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * q + drop * (1 - drop))
    distance = lost - gained - n * drop
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def wilson_interval(successes: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of a proportion (E. B. Wilson, JASA 22, 209-212, 1927), as fractions.

    Raises:
        ValueError: n is 0 or the number of successes is not between 0 and n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"impossible counts: {successes} of {n}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(centre - half, 0.0)
    high = 1.0 if successes == n else min(centre + half, 1.0)
    return low, high


def one_sided_bounds(percent: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Lower and upper Wilson bound in percent, each at `confidence`, of a share of n images in percent.

    A share of decisions, of which an image holds several, counts as one of images, which errs on the wide side.
    """
    low, high = wilson_interval(percent / 100 * n, n, 2 * confidence - 1)
    return 100 * low, 100 * high


def detectable_drop(discordant: int, n: int, alpha: float = 1 - CONFIDENCE, power: float = POWER) -> float:
    """Smallest true drop, as a fraction, that n images show with this power (one-sided McNemar test).

    Solves Connor's sample size formula (R. J. Connor, Biometrics 43, 207-211, 1987) for the drop,
    with the observed share of discordant images, or the drop itself where that is larger, since a
    drop needs at least as many discordant images.

    Returns:
        1.0 if so few images cannot show even the largest drop.
    """
    if n < 1 or not 0 <= discordant <= n:
        raise ValueError(f"impossible counts: {discordant} discordant of {n}")
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)

    def missing_images(drop: float) -> float:
        share = max(discordant / n, drop)
        needed = z_alpha * math.sqrt(share) + z_power * math.sqrt(max(share - drop * drop, 0.0))
        return needed**2 - n * drop**2

    if missing_images(1.0) >= 0:
        return 1.0
    return _root(missing_images, 0.0, 1.0)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from positive to negative is zero, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
