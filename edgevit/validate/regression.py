"""Whether answers got worse since a baseline: paired, as a non-inferiority test, over several checks at once.

The images are the same, so that only those count on which exactly one of both is right (`statistics.py`). A check ends
in one of three ways, with the margin d that was given:

- pass: the drop is below d, at one-sided 95 % confidence (its upper end is inside);
- regressed: the drop is above d. Six files are six chances of a false alarm, so the tests of one run are taken
  together by Holm's procedure (S. Holm, Scandinavian Journal of Statistics 6, 65-70, 1979): p values in ascending
  order are held against alpha / m, alpha / (m - 1), ... and the first that is larger ends it. Over the whole run the
  chance of one false alarm is then at most 5 %;
- inconclusive: neither, and it is said how many images would decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.require import require
from edgevit.validate.statistics import CONFIDENCE, POWER, drop_bounds, images_to_decide, tango_score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA: Final = 1 - CONFIDENCE

Outcome = Literal["pass", "regressed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images of which the baseline alone is right (`lost`), the new answers alone (`gained`), of `n` in all."""

    lost: int
    gained: int
    n: int


@dataclass(frozen=True, slots=True)
class Judged:
    """One accuracy check.

    Attributes:
        drop: (lost - gained) / n, a fraction; of a mean, the mean.
        bounds: one-sided 95 % ends of the drop.
        p_value: of a drop as large as seen, if the true one were the margin.
        images_needed: that would decide, if the shares stay as they are; None where it is decided, or where none do.
    """

    outcome: Outcome
    drop: float
    bounds: tuple[float, float]
    p_value: float
    images_needed: int | None = None


def judge_drops(
    checks: Sequence[Pairs], margins: Sequence[float], alpha: float = ALPHA
) -> tuple[Judged, ...]:
    """One verdict for each of a run's accuracy checks.

    Args:
        margins: the drops that are allowed, fractions, one for each check.
        alpha: chance of a false alarm over all of them.
    """
    p_values = [p_of_drop(pairs, margin) for pairs, margin in zip(checks, margins, strict=True)]
    rejected = holm(p_values, alpha)
    # What is more than its margin has to be so beyond the chance that all checks together are given.
    strict = 1 - alpha / max(1, len(checks))
    return tuple(
        _judged(pairs, margin, p_value, worse, strict)
        for pairs, margin, p_value, worse in zip(checks, margins, p_values, rejected, strict=True)
    )


def judge_means(
    losses: Sequence[NDArray[np.floating]], margins: Sequence[float], alpha: float = ALPHA
) -> tuple[Judged, ...]:
    """The same for a loss that each image has, such as dB of SQNR, by its mean and Student's t.

    Args:
        losses: (N,) of each check, N at least 2.
        margins: mean losses that are allowed.
    """
    import numpy as np

    t = require("scipy.stats").t

    found = []
    for loss, margin in zip(losses, margins, strict=True):
        n, mean = len(loss), float(np.mean(loss))
        error = float(np.std(loss, ddof=1)) / math.sqrt(n)
        if error == 0:
            found.append(Judged("pass", mean, (mean, mean), float(mean <= margin)))
            continue
        half = float(t.ppf(CONFIDENCE, n - 1)) * error
        p_value = float(t.sf((mean - margin) / error, n - 1))
        away = abs(mean - margin)
        needed = math.ceil(n * (half / away) ** 2) if away else None
        found.append(Judged("pass", mean, (mean - half, mean + half), p_value, needed))
    rejected = holm([one.p_value for one in found], alpha)
    return tuple(map(_of_mean, found, margins, rejected))


def _of_mean(one: Judged, margin: float, worse: bool) -> Judged:
    outcome: Outcome = "regressed" if worse else "pass" if one.bounds[1] <= margin else "inconclusive"
    return replace(
        one, outcome=outcome, images_needed=one.images_needed if outcome == "inconclusive" else None
    )


def _judged(pairs: Pairs, margin: float, p_value: float, worse: bool, strict: float) -> Judged:
    counts = (pairs.lost, pairs.gained, pairs.n)
    low, high = drop_bounds(*counts)
    drop = (pairs.lost - pairs.gained) / pairs.n
    outcome: Outcome = "regressed" if worse else "pass" if high <= margin else "inconclusive"
    confidence = strict if drop > margin else CONFIDENCE
    needed = images_to_decide(*counts, margin, confidence) if outcome == "inconclusive" else None
    return Judged(outcome, drop, (low, high), p_value, needed)


def p_of_drop(pairs: Pairs, margin: float) -> float:
    """One-sided p value of the hypothesis that the drop is at most `margin`, by Tango's score."""
    score = tango_score(pairs.lost, pairs.gained, pairs.n, margin)
    return 1 - NormalDist().cdf(score) if math.isfinite(score) else float(score < 0)


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> tuple[bool, ...]:
    """Which hypotheses are rejected, with a chance of `alpha` that any true one is among them."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    found = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > alpha / (len(order) - rank):
            break
        found[index] = True
    return tuple(found)


def images_for(margin: float, discordance: float, power: float = POWER) -> int:
    """How many images show that an unchanged model is within `margin`, with this power.

    Of unchanged accuracy, a share `discordance` of the images is lost or gained, half of each. The variance of the
    difference is then `discordance`, and that of the score statistic what its restricted estimate becomes in
    expectation (Tango 1998, equations 14 to 17): n = ((z_alpha sqrt(v0) + z_power sqrt(v1)) / margin)^2.

    Args:
        margin, discordance: fractions, above 0 and at most 1.

    Raises:
        ValueError: one of them is not.
    """
    if not 0 < margin <= 1 or not 0 < discordance <= 1:
        raise ValueError("margin and discordance are fractions above 0")
    half = discordance / 2
    b = -discordance + 2 * margin
    c = -half * margin * (1 - margin)
    q = (math.sqrt(b * b - 8 * c) - b) / 4
    restricted = 2 * q + margin * (1 - margin)
    z_alpha, z_power = NormalDist().inv_cdf(1 - ALPHA), NormalDist().inv_cdf(power)
    return math.ceil(((z_alpha * math.sqrt(restricted) + z_power * math.sqrt(discordance)) / margin) ** 2)
