"""Time calls: until no trend is left, then in turn, so that a slow moment of the machine meets all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

WARMUP_SECONDS = 0.5
WARMUP_RUNS = 3
WARMUP_ENOUGH = 10.0
# Still warming up: the lower quartile of the last runs is below that of the runs before by more than this share.
WARMUP_TREND = 0.02
# A model that takes ten seconds is not run a hundred times: fewer rounds, and a wider interval.
ROUNDS_SECONDS = 120.0
ROUNDS_LEAST = 5


class Times(NamedTuple):
    """Milliseconds of each run of one call, by the wall clock and of this process's processor time."""

    wall_ms: list[float]
    cpu_ms: list[float]


def since_ms(begin: float) -> float:
    """Milliseconds since `time.perf_counter()` gave `begin`."""
    return (time.perf_counter() - begin) * 1e3


def warm_up(call: Callable[[], None]) -> int:
    """Call in windows of half of WARMUP_SECONDS until calls get no faster, WARMUP_ENOUGH seconds at most.

    Returns:
        How often it was called.
    """
    begin, before, count = time.perf_counter(), math.inf, 0
    while True:
        spent = time.perf_counter() - begin
        if spent >= WARMUP_ENOUGH:
            return count
        window: list[float] = []
        until = min(spent + WARMUP_SECONDS / 2, WARMUP_ENOUGH)
        while spent < until or (len(window) < WARMUP_RUNS and spent < WARMUP_ENOUGH):
            start = time.perf_counter()
            call()
            window.append(since_ms(start))
            spent = time.perf_counter() - begin
        count += len(window)
        fast = sorted(window)[len(window) // 4]
        if fast >= before * (1 - WARMUP_TREND):
            return count
        before = fast


def rounds(calls: Sequence[Callable[[], None]], runs: int, seconds: float = 0.0) -> list[Times]:
    """Call each once a round, in turning order, `runs` rounds and until `seconds` are over.

    Of slow calls there are fewer rounds: none begins after `most_seconds` once there are ROUNDS_LEAST.
    """
    times = [Times([], []) for _ in calls]
    order = list(range(len(calls)))
    start = time.perf_counter()
    number = 0
    while number < runs or time.perf_counter() - start < seconds:
        if number >= ROUNDS_LEAST and time.perf_counter() - start > max(ROUNDS_SECONDS, seconds):
            break
        for index in order:
            cpu_begin, begin = time.process_time(), time.perf_counter()
            calls[index]()
            times[index].wall_ms.append(since_ms(begin))
            times[index].cpu_ms.append((time.process_time() - cpu_begin) * 1e3)
        order.append(order.pop(0))  # nobody always runs right after the slowest
        number += 1
    return times
