"""Files timed beside those of an earlier bundle: real ones, and blocks of simulated machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent import clock
from edgevit.core.errors import StepTimeoutError
from edgevit.core.plugins import Timing
from edgevit.core.process import worker
from edgevit.core.progress import Silent
from edgevit.flows import _jobs
from edgevit.flows import make_recipe as recipes
from edgevit.flows._gate import time_pairs
from edgevit.flows._gate.time_pairs import Pair, TimedBlock, TimedPair
from edgevit.registries import RUNTIMES
from edgevit.steps import time_files
from edgevit.steps.messages import Timed, TimeRequest
from edgevit.validate.latency_regression import LOOKS, judge, ratio_of_blocks

RECIPE = recipes.make({"model": "file"})


def write(path: Path, layers: int, size: int = 16) -> Path:
    """So many products of (192, 192) by (192, 256), on an image of 16 by 16 pixels."""
    rng = np.random.default_rng(0)
    stem = helper.make_node("Conv", ["image", "stem"], ["features"])
    nodes = [stem, helper.make_node("Reshape", ["features", "shape"], ["x0"])]
    nodes += [helper.make_node("MatMul", [f"w{i}", f"x{i}"], [f"x{i + 1}"]) for i in range(layers)]
    nodes.append(helper.make_node("ReduceMean", [f"x{layers}"], ["logits"], axes=[2], keepdims=0))
    constants = {f"w{i}": rng.normal(0, 0.07, (192, 192)).astype(np.float32) for i in range(layers)}
    constants |= {"stem": np.ones((192, 3, 1, 1), np.float32), "shape": np.array([1, 192, -1])}
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 192])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TimeRequest]:
    """Blocks are measured in this process after a short warm-up; what was asked for is written down."""
    monkeypatch.setattr(clock, "WARMUP_SECONDS", 0.02)
    monkeypatch.setattr(time_pairs, "BLOCK_SECONDS", 0.01)
    seen: list[TimeRequest] = []

    def run(job: worker.Job, kind: type[Timed]) -> Timed:
        assert job.limits.sandbox is not None
        assert not job.forked
        seen.append(_jobs.from_plain(TimeRequest, job.request, "request"))
        return time_files.measure(seen[-1], lambda event: None)

    monkeypatch.setattr(_jobs, "run", run)
    return seen


def timed(pair: Pair, limit: float = 10.0, **settings: Any) -> TimedPair:
    recipe = replace(RECIPE, **settings)
    return time_pairs.time_pairs({"onnx/fp32": pair}, {"onnx/fp32": limit}, recipe, Silent())["onnx/fp32"]


def test_a_slower_file_is_found_and_a_faster_one_passes(tmp_path: Path, asked: list[TimeRequest]) -> None:
    few, many = write(tmp_path / "few.onnx", 4), write(tmp_path / "many.onnx", 8)
    slower = timed(Pair(few, many, "onnx"))
    assert slower.outcome == "regressed", slower.reason
    assert slower.ratio is not None
    assert 1.5 < slower.ratio.value < 2.5
    assert slower.old_p50_ms is not None
    assert slower.new_p50_ms is not None
    assert 1.3 < slower.new_p50_ms / slower.old_p50_ms < 3
    low, high = slower.ratio.ci95
    assert slower.reason == (
        f"the new file takes {slower.ratio.value:.3f} times as long [{low:.3f}, {high:.3f}], limit 1.1 "
        "(processor time of one thread)"
    )
    assert timed(Pair(many, few, "onnx")).outcome == "pass"


def test_blocks_change_who_is_opened_first_and_are_kept(tmp_path: Path, asked: list[TimeRequest]) -> None:
    few, many = write(tmp_path / "few.onnx", 4), write(tmp_path / "many.onnx", 8)
    found = timed(Pair(few, many, "onnx"))
    trial, *counted = asked
    first = "".join("n" if request.paths[0] == str(many) else "o" for request in counted)
    assert first in ("onnoon", "noonno")
    assert all(request.threads == 1 and request.runtime == "onnxruntime" for request in asked)
    assert len(found.blocks) == LOOKS[0] == len(counted)
    assert found.clock == "processor"
    assert found.runs == sum(request.runs for request in counted) >= 10 * LOOKS[0]
    assert all(request.runs >= 10 for request in counted) and trial.runs < 10
    for block, letter in zip(found.blocks, first, strict=True):
        assert block.new_first == (letter == "n")
        assert np.median(block.new.cpu_ms) > np.median(block.old.cpu_ms)


def test_several_threads_are_timed_by_the_wall_clock(tmp_path: Path, asked: list[TimeRequest]) -> None:
    few, more = write(tmp_path / "few.onnx", 2), write(tmp_path / "more.onnx", 3)
    found = timed(Pair(few, more, "onnx"), limit=10_000.0, threads=2)
    assert found.outcome == "pass"
    assert {request.threads for request in asked} == {2}
    assert found.clock == "wall"
    assert "(wall time of 2 threads)" in found.reason


def test_the_same_bytes_need_no_clock(tmp_path: Path, asked: list[TimeRequest]) -> None:
    found = timed(Pair(write(tmp_path / "a.onnx", 2), write(tmp_path / "b.onnx", 2), "onnx"))
    assert (found.outcome, found.reason, asked) == ("pass", "same bytes", [])


def test_a_runtime_without_latency_is_not_compared(
    tmp_path: Path, asked: list[TimeRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(write(tmp_path / "a.onnx", 2), write(tmp_path / "b.onnx", 3), "coreml")
    found = timed(pair)
    assert (found.outcome, found.ratio, asked) == ("not-compared", None, [])
    assert "says nothing about a device" in found.reason
    monkeypatch.setattr(time_pairs, "executing_runtime", lambda target: None)
    assert "nothing here executes it" in timed(pair).reason


def test_a_file_that_fails_is_not_compared(tmp_path: Path, asked: list[TimeRequest]) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    found = timed(Pair(write(tmp_path / "a.onnx", 2), broken, "onnx"))
    assert found.outcome == "not-compared"
    assert found.reason.startswith("it could not be timed: ")
    assert "broken.onnx" in found.reason


def test_files_that_take_images_of_different_size_are_not_compared(
    tmp_path: Path, asked: list[TimeRequest]
) -> None:
    found = timed(Pair(write(tmp_path / "a.onnx", 2), write(tmp_path / "b.onnx", 2, size=32), "onnx"))
    assert found.outcome == "not-compared"


def test_each_block_is_a_process_of_its_own(tmp_path: Path) -> None:
    pair = Pair(write(tmp_path / "few.onnx", 2), write(tmp_path / "many.onnx", 16), "onnx")
    block = time_pairs.block_of("timing", pair, True, 10, RECIPE)
    assert len(block.old.cpu_ms) == len(block.new.runs_ms) == 10
    assert np.median(block.new.cpu_ms) > 2 * np.median(block.old.cpu_ms)
    with pytest.raises(StepTimeoutError):
        time_pairs.block_of("timing", pair, True, 10, replace(RECIPE, timeout=0.01))


def simulated(ratio: float, seed: int, noise: float = 0.02) -> Iterator[TimedBlock]:
    """Blocks on a busy machine.

    It is up to twice as slow in phases of several blocks, one run in ten is stretched up to tenfold by others, where
    the memory of a process lies gives each file of a block a few percent, and who is opened first is 2 % faster.
    """
    rng = np.random.default_rng(seed)
    phase = 1.0
    for number in range(LOOKS[-1]):
        if number % 3 == 0:
            phase = float(rng.uniform(1.0, 2.0))
        new_first = number % 4 in (1, 2)
        base = (
            5
            * phase
            * rng.lognormal(0, noise, 2)
            * (1.0, ratio)
            * (1.0 - 0.02 * np.array([not new_first, new_first]))
        )
        runs = (
            base
            * rng.lognormal(0, 0.03, (12, 2))
            * np.where(rng.random((12, 2)) < 0.1, rng.uniform(1, 10, (12, 2)), 1)
        )
        yield TimedBlock(*(Timing(tuple(r), 0.0, 1, tuple(r)) for r in runs.T.tolist()), new_first)


def outcomes(ratio: float, count: int, noise: float = 0.02) -> dict[str, int]:
    found = {"pass": 0, "regressed": 0, "inconclusive": 0}
    for seed in range(count):
        measured = time_pairs.until_decided(simulated(ratio, seed, noise), 10.0, "", Silent())
        found[judge(ratio_of_blocks(time_pairs.compared(measured)[1]), 10.0)] += 1
    return found


def test_unchanged_files_raise_no_alarm_on_a_busy_machine() -> None:
    found = outcomes(1.0, 200)
    assert found["regressed"] == 0
    assert found["pass"] >= 190


def test_a_file_that_is_15_percent_slower_is_found_on_a_busy_machine() -> None:
    assert outcomes(1.15, 200)["regressed"] >= 190


def test_at_the_limit_itself_both_errors_keep_to_their_share() -> None:
    # Each is to happen in at most 2.5 of 100; of 400, 19 or more would happen once in 200 then.
    found = outcomes(1.1, 400)
    assert found["regressed"] < 19
    assert found["pass"] < 19


def test_a_noisy_machine_gets_more_blocks_and_a_slow_file_no_more_than_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(time_pairs.until_decided(simulated(1.0, 0, noise=0.001), 10.0, "", Silent())) == LOOKS[0]
    assert len(time_pairs.until_decided(simulated(1.1, 0, noise=0.2), 10.0, "", Silent())) == LOOKS[-1]
    monkeypatch.setattr(time_pairs, "PAIR_SECONDS", 0.0)
    assert len(time_pairs.until_decided(simulated(1.1, 0, noise=0.2), 10.0, "", Silent())) == LOOKS[0]


def test_no_runtime_is_timed_by_its_processor_time_unless_it_says_so() -> None:
    assert [name for name in RUNTIMES.names() if RUNTIMES.get(name).cpu_bound] == ["litert", "onnxruntime"]
