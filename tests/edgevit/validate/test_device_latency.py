"""What blocks of runs on a device say, with numbers computed by hand and by SciPy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edgevit.core.results.device import Battery, DeviceFingerprint, DeviceState
from edgevit.core.results.profile import MeasuredBlock
from edgevit.validate import device_latency

CALM = DeviceState()
BOARD = DeviceFingerprint(
    "Pi", "Linux", "aarch64", "4x Cortex-A72", (), 4, 1 << 30, "glibc 2.36", "3.11", {}, ""
)


def block(*runs_ms: float, before: DeviceState = CALM, after: DeviceState = CALM) -> MeasuredBlock:
    return MeasuredBlock(runs_ms, runs_ms, 1.0, 1.0, 3, 0, before, after, "onnxruntime")


def test_the_99th_percentile_needs_299_runs() -> None:
    assert device_latency.p99([1.0] * 298) is None
    runs = [float(number) for number in range(299)]
    assert device_latency.p99(runs) == pytest.approx(295.02)  # 0.99 * 298, between the 296th and the 297th
    assert 0.99**298 > 0.05 >= 0.99**299, "with 298 not even the slowest bounds it with 95 %"


def test_the_ratio_is_the_mean_of_logarithms_over_rounds_with_its_t_interval() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.lognormal(0, 0.1, (6, 9))
    candidate = baseline * 0.5 * rng.lognormal(0, 0.05, (6, 9))
    found = device_latency.ratio_of_rounds(
        [block(*row) for row in candidate], [block(*row) for row in baseline]
    )
    logs = np.log(np.median(candidate, 1) / np.median(baseline, 1))
    oracle = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    assert found is not None
    assert found.value == pytest.approx(math.exp(logs.mean()), rel=1e-12)
    assert found.ci95 == pytest.approx((math.exp(oracle.low), math.exp(oracle.high)), rel=1e-9)


def test_a_ratio_by_hand() -> None:
    twice = [block(2.0, 2.0, 90.0), block(4.0, 4.0, 4.0), block(8.0)]
    once = [block(1.0, 1.0, 1.0), block(2.0, 2.0, 2.0), block(4.0)]
    found = device_latency.ratio_of_rounds(twice, once)
    assert found is not None and found.value == pytest.approx(2.0) and found.ci95 == pytest.approx((2.0, 2.0))


def test_two_rounds_give_no_interval_and_rounds_must_pair() -> None:
    assert device_latency.ratio_of_rounds([block(1.0)] * 2, [block(1.0)] * 2) is None
    with pytest.raises(ValueError, match="zip"):
        device_latency.ratio_of_rounds([block(1.0)] * 4, [block(1.0)] * 3)


def test_the_interval_holds_the_truth_as_often_as_it_says_where_rounds_are_alike() -> None:
    """Rounds share what the machine does, which the ratio of a round cancels; blocks differ by 3 % besides."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        machine = rng.lognormal(0, 0.3, (6, 1))
        files = [machine * rng.lognormal(0, 0.03, (6, 1)) * rng.lognormal(0, 0.02, (6, 9)) for _ in range(2)]
        pair = [[block(*row) for row in file] for file in files]
        found = device_latency.ratio_of_rounds(*pair)
        assert found is not None
        held += found.ci95[0] <= 1 <= found.ci95[1]
    assert 930 <= held <= 970  # 950, by three standard deviations


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"after": DeviceState(throttled=("clock capped",))}, "throttled (clock capped)"),
        ({"before": DeviceState(throttled=("throttled", "undervoltage"))}, "throttled, undervoltage"),
        ({"after": DeviceState(throttled=())}, ""),
        (
            {
                "before": DeviceState(mhz=(1500, 1500), governors=("performance",)),
                "after": DeviceState(mhz=(1500, 600)),
            },
            "fell from 1500 to 1050 MHz",
        ),
        (
            {
                "before": DeviceState(mhz=(1500, 1500), governors=("performance",)),
                "after": DeviceState(mhz=(1500, 900)),
            },
            "",  # 1200 of 1500 is just enough
        ),
        (
            {"before": DeviceState(mhz=(1500,), governors=("ondemand",)), "after": DeviceState(mhz=(600,))},
            "",  # which lowers the clock when the runs are over
        ),
        ({"cpu_ms": (9.0, 8.0)}, "15 % of the time"),
        ({"cpu_ms": (9.0, 9.0)}, ""),
        ({"cpu_ms": ()}, ""),
    ],
)
def test_why_a_block_is_disturbed(changes: dict[str, object], words: str) -> None:
    found = device_latency.disturbed(replace(block(10.0, 10.0), **changes), one_core=True)  # type: ignore[arg-type]
    assert words in found if words else found == ""


def test_on_several_cores_the_processor_time_says_nothing() -> None:
    assert device_latency.disturbed(replace(block(10.0), cpu_ms=(2.0,)), one_core=False) == ""


def test_what_stays_disturbed_is_unstable() -> None:
    bad = replace(block(1.0), disturbed="the device was throttled (heat)")
    found = device_latency.unstable([block(1.0), bad, bad])
    assert found.startswith("2 of 3 blocks were disturbed") and "heat" in found


def test_processes_that_differ_by_more_than_15_percent_are_unstable() -> None:
    assert device_latency.unstable([block(1.0, 1.0, 9.0), block(1.15, 1.15, 1.15)]) == ""
    found = device_latency.unstable([block(1.0), block(1.1), block(1.16)])
    assert "3 processes" in found and "1 and 1.16 ms" in found
    assert device_latency.unstable([block(5.0)]) == ""


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (DeviceState(load=2.0), ()),
        (DeviceState(load=2.1), ("busy", "load 2.1 on 4 cores")),
        (DeviceState(governors=("powersave", "performance")), ("powersave",)),
        (DeviceState(governors=("schedutil",)), ()),
        (DeviceState(celsius={"cpu": 79.9, "gpu": 40.0}), ()),
        (DeviceState(celsius={"cpu": 81.0, "gpu": 84.6}), ("gpu had 85 °C",)),
        (DeviceState(battery=Battery(19, False)), ("battery had 19 %",)),
        (DeviceState(battery=Battery(19, True)), ()),
        (DeviceState(battery=Battery(20, False)), ()),
    ],
)
def test_what_is_said_before_it_is_measured(state: DeviceState, words: tuple[str, ...]) -> None:
    found = device_latency.warnings(BOARD, state)
    assert len(found) == (1 if words else 0)
    assert all(word in found[0] for word in words)


def test_powersave_is_the_usual_mode_of_a_pc_and_an_emulated_board_is_said_to_be_one() -> None:
    pc = replace(BOARD, machine="x86_64")
    assert device_latency.warnings(pc, DeviceState(governors=("powersave",))) == ()
    (found,) = device_latency.warnings(replace(BOARD, emulated="qemu user mode"), CALM)
    assert "qemu user mode" in found
