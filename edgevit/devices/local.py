"""This host: files timed in this process, round by round beside each other."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Candidate, Timing, Transport
from edgevit.core.runner import RunOptions

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

WARMUP_SECONDS = 0.5
WARMUP_RUNS = 3
WARMUP_ENOUGH = 10.0
# A model that takes ten seconds is not run a hundred times: fewer rounds, and a wider interval.
ROUNDS_SECONDS = 120.0
ROUNDS_LEAST = 5


def measure(
    where: str, files: tuple[Candidate, ...], image: Pixels, threads: int, runs: int
) -> tuple[Timing, ...]:
    """Time `runs` rounds after a warm-up; each round executes every file once, in turning order.

    Of a slow model there are fewer rounds: none begins after ROUNDS_SECONDS once there are ROUNDS_LEAST.
    The cold load is the time from opening the file to its first result. Preprocessing is not timed.

    Raises:
        UnsupportedError: a runtime whose time says nothing about a device.
    """
    for file in files:
        if not file.runtime.has_latency:
            raise UnsupportedError(
                f"{file.path.name} is executed by {file.runtime.label()}, whose time says nothing about a device"
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
            begin, done = time.perf_counter(), 0
            while (spent := time.perf_counter() - begin) < WARMUP_SECONDS or (
                done < WARMUP_RUNS and spent < WARMUP_ENOUGH
            ):
                runner.invoke(prepared)
                done += 1
        times: list[list[float]] = [[] for _ in files]
        order = list(range(len(files)))
        start = time.perf_counter()
        for number in range(runs):
            if number >= ROUNDS_LEAST and time.perf_counter() - start > ROUNDS_SECONDS:
                break
            for index in order:
                runner, prepared = opened[index]
                begin = time.perf_counter()
                runner.invoke(prepared)
                times[index].append(_ms_since(begin))
            order.append(order.pop(0))  # nobody always runs right after the slowest
    return tuple(Timing(tuple(t), c, used) for t, c in zip(times, cold, strict=True))


def _options(file: Candidate, threads: int) -> RunOptions:
    return RunOptions(threads=threads, preprocess=file.preprocess)


def _ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3


TRANSPORT = Transport(summary="This computer.", syntax="local", measure=measure)
