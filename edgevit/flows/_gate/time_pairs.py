"""Time files of an earlier bundle again beside the new ones, so that both meet the same machine in the same state."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgevit.core.disk.artifact import artifact_sha256
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import Timing
from edgevit.core.process import worker
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress
from edgevit.core.results.gate import Outcome
from edgevit.core.results.report import Ratio
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.flows._run_execute import executing_runtime, unavailable_reason
from edgevit.registries import RUNTIMES
from edgevit.steps.messages import Timed, TimeRequest
from edgevit.validate.latency_regression import LOOKS, Block, judge, ratio_of_blocks

# Runs of each file in a block: so many seconds of them, within these numbers.
BLOCK_SECONDS: Final = 0.3
BLOCK_RUNS: Final = (10, 60)
# Of one pair: no block begins after this time once there are as many as the first look takes.
PAIR_SECONDS: Final = 600.0

Clock = Literal["processor", "wall"]


@dataclass(frozen=True, slots=True)
class Pair:
    """An artifact as it was and as it is now, both of one target."""

    old: Path
    new: Path
    target: str


@dataclass(frozen=True, slots=True)
class TimedBlock:
    """What one process measured: run i of one file right beside run i of the other."""

    old: Timing
    new: Timing
    new_first: bool


@dataclass(frozen=True, slots=True)
class TimedPair:
    """How long the new file takes beside the old one.

    Attributes:
        reason: one clause in plain words, whatever the outcome.
        old_p50_ms, new_p50_ms: medians over all blocks, None where nothing was timed.
        clock: what the times are: time on a processor, to which other processes add nothing, or by the wall clock.
        blocks: all that was measured.
    """

    outcome: Outcome
    reason: str
    ratio: Ratio | None = None
    old_p50_ms: float | None = None
    new_p50_ms: float | None = None
    clock: Clock | None = None
    blocks: tuple[TimedBlock, ...] = ()

    @property
    def runs(self) -> int:
        """Timed runs of each file."""
        return sum(len(block.new.runs_ms) for block in self.blocks)


def time_pairs(
    pairs: Mapping[str, Pair],
    limits: Mapping[str, float],
    recipe: Recipe,
    progress: Progress,
) -> dict[str, TimedPair]:
    """Time each pair, one after the other, so that nothing else of ours runs.

    With one thread, unless the recipe has a number: how fast several are depends on who else wants the cores.

    Args:
        pairs: what messages call an artifact -> its two files.
        limits: for each of them, percent that the new file may take longer.
        recipe: of it threads, timeout, memory and seed count.
    """
    return {
        name: _untimed(pair) or _timed(name, pair, limits[name], recipe, progress)
        for name, pair in pairs.items()
    }


def _untimed(pair: Pair) -> TimedPair | None:
    """The answer that needs no clock, if there is one."""
    if artifact_sha256(pair.old) == artifact_sha256(pair.new):
        return TimedPair("pass", "same bytes")
    runtime = executing_runtime(pair.target)
    if runtime is None:
        return TimedPair("not-compared", f"nothing here executes it: {unavailable_reason(pair.target)}")
    if not RUNTIMES.get(runtime).has_latency:
        label = RUNTIMES.get(runtime).label()
        return TimedPair(
            "not-compared", f"it is executed here by {label}, whose time says nothing about a device"
        )
    return None


def _timed(name: str, pair: Pair, limit: float, recipe: Recipe, progress: Progress) -> TimedPair:
    step = f"timing {name} beside the baseline"
    try:
        measured = until_decided(timed_blocks(step, pair, recipe), limit, step, progress)
    except EdgevitError as error:
        progress.trace(f"{step}:\n{worker.trace_of(error)}")
        return TimedPair("not-compared", f"it could not be timed: {error.message}")
    clock, blocks = compared(measured)
    ratio = ratio_of_blocks(blocks)
    return TimedPair(
        outcome=judge(ratio, limit),
        reason=_reason(ratio, limit, clock, measured),
        ratio=ratio,
        old_p50_ms=statistics.median(time for block in blocks for time in block.old_ms),
        new_p50_ms=statistics.median(time for block in blocks for time in block.new_ms),
        clock=clock,
        blocks=measured,
    )


def until_decided(
    blocks: Iterator[TimedBlock], limit: float, step: str, progress: Progress
) -> tuple[TimedBlock, ...]:
    """As many as the first look that decides takes, or as there is time for."""
    found: list[TimedBlock] = []
    begin = time.monotonic()
    for look in LOOKS:
        progress.stage(f"{step}, not decided yet" if found else step, look - len(found))
        while len(found) < look:
            if len(found) >= LOOKS[0] and time.monotonic() - begin > PAIR_SECONDS:
                return tuple(found)
            found.append(next(blocks))
            progress.advance()
        if judge(ratio_of_blocks(compared(found)[1]), limit) != "inconclusive":
            break
    return tuple(found)


def timed_blocks(step: str, pair: Pair, recipe: Recipe) -> Iterator[TimedBlock]:
    """One block after the other without end; who is opened first goes ABBA from a random start.

    Args:
        step: what messages call it.
    """
    start = random.Random(f"{recipe.seed} {step}").random() < 0.5
    # Not counted: it brings the files into memory, and says how long they take.
    tried = block_of(step, pair, start, BLOCK_RUNS[0] // 2, recipe)
    slowest_ms = max(statistics.median(timing.runs_ms) for timing in (tried.old, tried.new))
    least, most = BLOCK_RUNS
    runs = max(least, min(most, round(BLOCK_SECONDS * 1e3 / slowest_ms)))
    for number in itertools.count():
        yield block_of(step, pair, start ^ (number % 4 in (1, 2)), runs, recipe)


def block_of(step: str, pair: Pair, new_first: bool, runs: int, recipe: Recipe) -> TimedBlock:
    """One block in a process of its own.

    Raises:
        EdgevitError: a file could not be executed, or a limit of the recipe was broken.
    """
    runtime = executing_runtime(pair.target)
    assert runtime is not None
    threads = recipe.threads or 1
    order = (pair.new, pair.old) if new_first else (pair.old, pair.new)
    with scratch(WORK) as work:  # without images in it: noise does
        request = TimeRequest(
            work=str(work),
            runtime=runtime,
            threads=threads,
            runs=runs,
            paths=tuple(str(path.absolute()) for path in order),
        )
        job = _jobs.job(
            step, "time_files:measure", request, recipe, threads, _jobs.silent, data_only=True, alone=True
        )
        first, second = _jobs.run(job, Timed).timings
    return TimedBlock(second, first, True) if new_first else TimedBlock(first, second, False)


def compared(measured: Sequence[TimedBlock]) -> tuple[Clock, tuple[Block, ...]]:
    """What is compared of the blocks: time on the processor where all have it, else time by the wall clock."""
    if all(block.old.cpu_ms and block.new.cpu_ms for block in measured):
        return "processor", tuple(Block(b.old.cpu_ms, b.new.cpu_ms, b.new_first) for b in measured)
    return "wall", tuple(Block(b.old.runs_ms, b.new.runs_ms, b.new_first) for b in measured)


def _reason(ratio: Ratio, limit: float, clock: Clock, measured: Sequence[TimedBlock]) -> str:
    low, high = ratio.ci95
    count = measured[0].new.threads
    threads = "one thread" if count == 1 else f"{count} threads"
    said = (
        f"the new file takes {ratio.value:.3f} times as long [{low:.3f}, {high:.3f}], limit {1 + limit / 100:g} "
        f"({clock} time of {threads})"
    )
    if judge(ratio, limit) != "inconclusive":
        return said
    hint = "" if clock == "processor" else "; close other programs, or measure with --threads 1"
    return f"{said}: {len(measured)} blocks do not tell on which side of the limit it is{hint}"
