"""Time files in turn: it keeps no times of single runs, so that a block is a short process with a median of its own.

The spread between blocks says what the spread within one cannot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from edgevit.core.results.device import DeviceState
from edgevit.devices import _android_state
from edgevit.devices._benchmark_model.process import Runner
from edgevit.devices._benchmark_model.types import ToolBlock, ToolTimed
from edgevit.devices._shell import run

_REPEATS: Final = 2  # of a block that something disturbed
_COOL_SECONDS: Final = 60.0  # to wait for a phone that throttles, before the block is repeated
_STATE_SECONDS: Final = 60.0


def blocks(runner: Runner, paths: Sequence[str]) -> tuple[ToolTimed, ...]:
    """Time each file in `runner.settings.blocks` processes, forwards and backwards in turn (ABBA).

    A block in which the phone throttled is repeated; what is still disturbed after _REPEATS is kept, and says so.

    Args:
        paths: of the files on the device.
    """
    kept: list[list[ToolBlock]] = [[] for _ in paths]
    dropped: list[list[ToolBlock]] = [[] for _ in paths]
    before = _state(runner)
    for number in range(runner.settings.blocks):
        order = range(len(paths))
        for index in order if number % 2 == 0 else reversed(order):
            for attempt in range(_REPEATS + 1):
                block = _block(runner, paths[index], before)
                before = block.after
                if not block.disturbed or attempt == _REPEATS:
                    kept[index].append(block)
                    break
                dropped[index].append(block)
                before = _cooled(runner, before)
    return tuple(ToolTimed(tuple(good), tuple(bad)) for good, bad in zip(kept, dropped, strict=True))


def _block(runner: Runner, path: str, before: DeviceState) -> ToolBlock:
    settings = runner.settings
    done = runner.run(path, {"num_runs": settings.runs, "min_secs": settings.seconds})
    after = _state(runner)
    words = dict.fromkeys((*(before.throttled or ()), *(after.throttled or ())))
    return ToolBlock(done.times, before, after, tuple(words))


def _cooled(runner: Runner, state: DeviceState) -> DeviceState:
    """How the phone is once nothing holds its clocks down, or when that has taken too long."""
    until = time.monotonic() + _COOL_SECONDS
    while state.throttled and time.monotonic() < until:
        time.sleep(5.0)
        state = _state(runner)
    return state


def _state(runner: Runner) -> DeviceState:
    return _android_state.state(run(runner.place, _android_state.STATE, _STATE_SECONDS).stdout)
