"""Timing on a clock that the test moves: how long to warm up, how many rounds, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from edgevit.agent import clock


class Watch:
    """A clock that only calls move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.order: list[str] = []
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(clock.time, "process_time", lambda: self.now / 2)

    def call(self, seconds: Iterator[float] | float, name: str = "") -> Callable[[], None]:
        times = seconds if not isinstance(seconds, float) else repeat(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += next(times)

        return run


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_a_steady_call_is_warm_after_two_windows(watch: Watch) -> None:
    assert clock.warm_up(watch.call(1 / 64)) == 32  # 0.25 s each, 2^-6 s the call


def test_a_call_that_gets_faster_is_called_until_it_does_not(watch: Watch) -> None:
    falling = chain((1 / 16,) * 4, (1 / 32,) * 8, repeat(1 / 64))
    assert clock.warm_up(watch.call(falling)) == 4 + 8 + 16 + 16


def test_a_slow_call_is_called_three_times_a_window(watch: Watch) -> None:
    assert clock.warm_up(watch.call(1.0)) == 6


def test_warming_up_ends_though_it_gets_ever_faster(watch: Watch) -> None:
    halving = (4.0 * 0.99**number for number in range(10_000))
    clock.warm_up(watch.call(halving))
    assert watch.now - 100 < clock.WARMUP_ENOUGH + 4


def test_every_round_calls_each_once_and_another_one_first(watch: Watch) -> None:
    times = clock.rounds([watch.call(0.5, "a"), watch.call(0.25, "b"), watch.call(0.125, "c")], 3)
    assert "".join(watch.order) == "abc" + "bca" + "cab"
    assert [t.wall_ms for t in times] == [[500.0] * 3, [250.0] * 3, [125.0] * 3]
    assert times[0].cpu_ms == [250.0] * 3


def test_rounds_go_on_until_the_seconds_are_over(watch: Watch) -> None:
    (times,) = clock.rounds([watch.call(0.5)], 3, seconds=4.0)
    assert len(times.wall_ms) == 8


def test_a_slow_file_has_fewer_rounds_and_never_less_than_five(watch: Watch) -> None:
    (times,) = clock.rounds([watch.call(13.0)], 100)
    assert len(times.wall_ms) == 10  # the tenth begins at 117 s
    (times,) = clock.rounds([watch.call(100.0)], 100)
    assert len(times.wall_ms) == clock.ROUNDS_LEAST
