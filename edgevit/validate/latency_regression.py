"""Does a file take longer than the one before it? From blocks in which both were timed side by side.

A block is one process that opens both files and runs them in turn. On a shared machine what others do changes from
one second to the next, and it meets both files of a block alike; what does not change within a process, such as where
its memory lies, differs from block to block. So blocks are what is counted:

- the estimate of a block is the median over its rounds of log(new / old);
- which file was opened first alternates (ABBA, from a random start) and has an effect of its own:
  y_b = theta + order * s_b + noise, with s_b = +1 or -1. Least squares over both; theta has a t interval with two
  degrees of freedom fewer than there are blocks;
- blocks are added until the interval decides, but looked at LOOKS times at most. Each look has its share of the
  error (Bonferroni), so that the intervals of all looks hold together: a repeated confidence interval
  (C. Jennison and B. W. Turnbull, Journal of the Royal Statistical Society B 51, 305-361, 1989).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgevit.core.results.report import Ratio
from edgevit.validate.regression import Outcome
from edgevit.validate.statistics import CONFIDENCE

# Blocks after which it is asked whether the interval decides.
LOOKS: Final = (6, 12, 24)


@dataclass(frozen=True, slots=True)
class Block:
    """Milliseconds of both files in one process; `old_ms[i]` and `new_ms[i]` were run one right after the other."""

    old_ms: tuple[float, ...]
    new_ms: tuple[float, ...]
    new_first: bool

    @property
    def log_ratio(self) -> float:
        """Median over the rounds of log(new / old).

        Raises:
            ValueError: no rounds, runs without a partner, or a time that is not positive.
        """
        if not self.old_ms or len(self.old_ms) != len(self.new_ms):
            raise ValueError(
                f"{len(self.old_ms)} runs of the old file beside {len(self.new_ms)} of the new one"
            )
        if not all(0 < time < math.inf for time in (*self.old_ms, *self.new_ms)):
            raise ValueError("times are positive numbers")
        return statistics.median(math.log(n / o) for o, n in zip(self.old_ms, self.new_ms, strict=True))


def enough_blocks(blocks: Sequence[Block]) -> bool:
    """Whether they have an interval: both orders, and one block more than there are parameters."""
    return len(blocks) > 2 and len({block.new_first for block in blocks}) == 2


def ratio_of_blocks(blocks: Sequence[Block]) -> Ratio:
    """Time of the new file over that of the old one; the interval holds with 95 % for all looks together.

    Raises:
        ValueError: too few blocks (see `enough_blocks`), or one without valid times.
    """
    from edgevit.core.require import require

    if not enough_blocks(blocks):
        raise ValueError(f"{len(blocks)} blocks: an interval needs three, with both orders")
    groups = [[b.log_ratio for b in blocks if b.new_first is first] for first in (False, True)]
    means = [statistics.fmean(group) for group in groups]
    freedom = len(blocks) - 2
    squares = sum((y - mean) ** 2 for group, mean in zip(groups, means, strict=True) for y in group)
    # theta is the mean of both orders' means, whatever their numbers of blocks are.
    error = math.sqrt(squares / freedom * sum(1 / len(group) for group in groups)) / 2
    theta = statistics.fmean(means)
    half = float(require("scipy.special").stdtrit(freedom, 1 - (1 - CONFIDENCE) / 2 / len(LOOKS))) * error
    return Ratio(math.exp(theta), (math.exp(theta - half), math.exp(theta + half)))


def judge(ratio: Ratio, limit: float) -> Outcome:
    """Hold a ratio against a limit in percent: pass if it is surely within, regressed if it is surely beyond.

    Raises:
        ValueError: the limit is -100 % or less, which no file keeps.
    """
    if not limit > -100:
        raise ValueError(f"a limit of {limit} % allows no time at all")
    low, high = ratio.ci95
    allowed = 1 + limit / 100
    return "pass" if high <= allowed else "regressed" if low > allowed else "inconclusive"
