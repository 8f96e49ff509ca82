"""This host: files timed in this process, round by round beside each other."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Candidate, Timing, Transport
from edgevit.core.runner import Runner, RunOptions

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

WARMUP_SECONDS = 0.5
WARMUP_RUNS = 3
WARMUP_ENOUGH = 10.0
# Still warming up: the lower quartile of the last runs is below that of the runs before by more than this share.
WARMUP_TREND = 0.02
# A model that takes ten seconds is not run a hundred times: fewer rounds, and a wider interval.
ROUNDS_SECONDS = 120.0
ROUNDS_LEAST = 5


def measure(
    where: str, files: tuple[Candidate, ...], image: Pixels, threads: int, runs: int
) -> tuple[Timing, ...]:
    """Time `runs` rounds after a warm-up; each round executes every file once, in turning order.

    Of a slow model there are fewer rounds: none begins after ROUNDS_SECONDS once there are ROUNDS_LEAST.
    The cold load is the time from opening the file to its first result. Preprocessing is not timed.
    With one thread on the CPU the processor time of each run is taken as well, to which others add nothing.

    Raises:
        UnsupportedError: a runtime whose time says nothing about a device.
    """
    for file in files:
        if not file.runtime.has_latency:
            raise UnsupportedError(
                f"{file.path.name} is executed by {file.runtime.label()}, whose time says nothing about a device",
                "profile it on a device whose runtime executes it, such as a Mac for Core ML",
            )
    used = threads or os.cpu_count() or 1
    if files:  # the import of the runtime is the process's cost, not that of the file that comes first
        with files[0].runtime.open(files[0].path, _options(files[0], used)):
            pass
    with ExitStack() as stack:
        opened, cold = [], []
        for file in files:
            begin = time.perf_counter()
            runner = stack.enter_context(file.runtime.open(file.path, _options(file, used)))
            prepared = runner.prepare(image)
            runner.invoke(prepared)
            cold.append(_ms_since(begin))
            opened.append((runner, prepared))
        for runner, prepared in opened:
            _warm_up(runner, prepared)
        times: list[list[float]] = [[] for _ in files]
        cpu: list[list[float]] = [[] for _ in files]
        order = list(range(len(files)))
        start = time.perf_counter()
        for number in range(runs):
            if number >= ROUNDS_LEAST and time.perf_counter() - start > ROUNDS_SECONDS:
                break
            for index in order:
                runner, prepared = opened[index]
                cpu_begin, begin = time.process_time(), time.perf_counter()
                runner.invoke(prepared)
                times[index].append(_ms_since(begin))
                cpu[index].append((time.process_time() - cpu_begin) * 1e3)
            order.append(order.pop(0))  # nobody always runs right after the slowest
    return tuple(
        Timing(tuple(wall), load, used, tuple(own) if used == 1 and file.runtime.cpu_bound else ())
        for file, wall, own, load in zip(files, times, cpu, cold, strict=True)
    )


def _warm_up(runner: Runner, prepared: object) -> None:
    """Run in windows of half of WARMUP_SECONDS until runs get no faster, WARMUP_ENOUGH seconds at most."""
    begin, before = time.perf_counter(), math.inf
    while (spent := time.perf_counter() - begin) < WARMUP_ENOUGH:
        window: list[float] = []
        until = min(spent + WARMUP_SECONDS / 2, WARMUP_ENOUGH)
        while spent < until or (len(window) < WARMUP_RUNS and spent < WARMUP_ENOUGH):
            start = time.perf_counter()
            runner.invoke(prepared)
            window.append(_ms_since(start))
            spent = time.perf_counter() - begin
        fast = sorted(window)[len(window) // 4]
        if fast >= before * (1 - WARMUP_TREND):
            return
        before = fast


def _options(file: Candidate, threads: int) -> RunOptions:
    return RunOptions(threads=threads, preprocess=file.preprocess)


def _ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3


TRANSPORT = Transport(summary="This computer.", syntax="local", measure=measure)
