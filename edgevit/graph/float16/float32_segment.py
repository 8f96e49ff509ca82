"""Where a model magnifies rounding that no operation alone shows: the stretch that must stay in float32.

Sampling at computed places is such a case: a coordinate that is 0.001 off is exact enough as a number, and
what is read there may differ a hundred times more. The noise comes from everything before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def find_segment(sites: Sequence[str], reaches: Callable[[frozenset[str]], bool]) -> tuple[int, int]:
    """First and end index of a run of operations that suffices, shortened from both of its ends by bisection.

    What is kept so far noise cannot come from, so a longer stretch is seldom worse; where it is, the found
    one is longer than need be, never too short: each end was seen to suffice.

    Args:
        sites: operations in execution order.
        reaches: whether the outputs are exact enough with these operations in float32; asked some
            2 log2(n) times. It has to be so with all of them.
    """
    end = _least(len(sites), lambda count: reaches(frozenset(sites[:count])))
    length = _least(end, lambda count: reaches(frozenset(sites[end - count : end])))
    return end - length, end


def _least(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of 1..most that bisection finds to hold; `most` is taken to hold."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
