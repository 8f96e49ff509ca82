"""What blocks of runs on a device say: latency, its ratio to the fp32 file, and whether they can be trusted.

A block is one process. Every file has one block in each round, and rounds go through the files forwards and backwards
in turn (ABBA), so that a device that gets slowly warmer or busier meets all files alike. Runs within a process resemble
each other, so that rounds are what is counted: the ratio of a file to its fp32 file is the mean over the rounds of
log(median / median), with the t interval of that mean.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from edgevit.core.results.device import DeviceFingerprint, DeviceState
from edgevit.core.results.profile import MeasuredBlock
from edgevit.core.results.report import Ratio
from edgevit.validate.latency import RUNS_FOR_P90 as RUNS_FOR_P90
from edgevit.validate.statistics import CONFIDENCE

# 1 - 0.99^n reaches 0.95 at n = 299: with fewer runs not even the slowest bounds the 99th percentile.
RUNS_FOR_P99: Final = 299
# Clocks fell while it was measured: the mean of all cores' after it is below that share of the mean before it.
_CLOCK_FELL: Final = 0.8
# On one core: a run waited for its core, so that its processor time is less than that share of its time.
_WAITED: Final = 0.9
# Medians of the blocks of one file lie further apart than that.
_SPREAD: Final = 1.15
# Of the cores: more processes than that wanted one before we began.
_BUSY: Final = 0.5
_HOT: Final = 80.0


def p99(runs_ms: Sequence[float]) -> float | None:
    """The 99th percentile, linear between runs; None where there are too few to bound it."""
    import numpy as np

    return float(np.percentile(runs_ms, 99)) if len(runs_ms) >= RUNS_FOR_P99 else None


def ratio_of_rounds(candidate: Sequence[MeasuredBlock], baseline: Sequence[MeasuredBlock]) -> Ratio | None:
    """Time of one file over that of another with its 95 % interval; None below three rounds.

    Args:
        candidate, baseline: block i of one and block i of the other are of the same round.

    Raises:
        ValueError: another number of blocks.
    """
    from edgevit.core.require import require

    logs = [
        math.log(statistics.median(c.runs_ms) / statistics.median(b.runs_ms))
        for c, b in zip(candidate, baseline, strict=True)
    ]
    if len(logs) < 3:
        return None
    quantile = float(require("scipy.special").stdtrit(len(logs) - 1, 1 - (1 - CONFIDENCE) / 2))
    centre, half = statistics.fmean(logs), quantile * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(centre), (math.exp(centre - half), math.exp(centre + half)))


def disturbed(block: MeasuredBlock, one_core: bool) -> str:
    """Why a block cannot be trusted, in one clause; "" where nothing speaks against it.

    Args:
        one_core: one thread on the processor does all the work of an inference.
    """
    for moment in (block.before, block.after):
        if moment.throttled:
            return f"the device was throttled ({', '.join(moment.throttled)})"
    before, after = block.before.mhz, block.after.mhz
    fixed = "performance" in block.before.governors  # other governors lower the clock of a core that is idle
    if fixed and before and after and statistics.fmean(after) < _CLOCK_FELL * statistics.fmean(before):
        return f"its clocks fell from {statistics.fmean(before):.0f} to {statistics.fmean(after):.0f} MHz"
    if one_core and block.cpu_ms and sum(block.cpu_ms) < _WAITED * sum(block.runs_ms):
        share = sum(block.cpu_ms) / sum(block.runs_ms)
        return f"other processes took its core {100 - 100 * share:.0f} % of the time"
    return ""


def unstable(blocks: Sequence[MeasuredBlock]) -> str:
    """Why the times of a file are not to be relied on, in one clause; "" where nothing speaks against them."""
    bad = [block.disturbed for block in blocks if block.disturbed]
    if bad:
        return (
            f"{len(bad)} of {len(blocks)} blocks were disturbed and could not be repeated in peace: {bad[0]}"
        )
    medians = [statistics.median(block.runs_ms) for block in blocks]
    if len(medians) > 1 and max(medians) > _SPREAD * min(medians):
        return f"medians of its {len(medians)} processes lie between {min(medians):.3g} and {max(medians):.3g} ms"
    return ""


def warnings(fingerprint: DeviceFingerprint, state: DeviceState) -> tuple[str, ...]:
    """What to tell of a device before it is measured: each a sentence."""
    found = []
    if fingerprint.emulated:
        found.append(
            f"its processor is played by another one ({fingerprint.emulated}): no time here means anything"
        )
    if state.load is not None and state.load > _BUSY * fingerprint.cores:
        found.append(f"it was busy before we began: load {state.load:g} on {fingerprint.cores} cores")
    slow = sorted(set(state.governors) & {"powersave", "conservative"})
    if slow and "x86" not in fingerprint.machine:  # intel_pstate calls its usual mode powersave
        found.append(f"its clocks are governed by {', '.join(slow)}: it may be much faster in use, or slower")
    hot = {name: degrees for name, degrees in state.celsius.items() if degrees >= _HOT}
    if hot:
        name, degrees = max(hot.items(), key=lambda pair: pair[1])
        found.append(f"{name} had {degrees:.0f} °C before we began: expect it to throttle")
    if state.battery is not None and not state.battery.charging and state.battery.percent < 20:
        found.append(f"its battery had {state.battery.percent} %: many devices then lower their clocks")
    return tuple(found)
