"""How often the latency check of `edgevit gate` is wrong: a file against itself, and against one that is 15 % slower.

    python -m bench.latency_gate DIR                      # 100 of each, beside nothing and beside two busy processes
    python -m bench.latency_gate DIR --count 20 --only same/busy
    python -m bench.latency_gate DIR --report             # what is in DIR, without measuring

The file is a stack of matrix products that takes 2 to 10 ms. The slower one has more of them: as many as make it take
1.15 times as long. How much longer it really takes is measured first, in 24 blocks and, as a check by other means, with
each file alone in processes of its own by the wall clock, for which the machine has to be idle. What a file is compared
with is never the same bytes, since those are not timed: its copy has another remark in it.

Each comparison is what `edgevit gate --max-latency-regression 10` does. Of the two busy processes one computes and one
moves memory. Every comparison is one line in DIR/comparisons.jsonl; what is there is not measured again. Prints one
line per case with the exact 95 % interval (C. J. Clopper and E. S. Pearson, Biometrika 26, 404-413, 1934), and what the
wall clock of the same runs would have said. Leaves with code 1 where more than 2 of 100 are false alarms, or fewer than
95 of 100 are found.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import stats

from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Silent
from edgevit.core.results.report import Ratio
from edgevit.flows import _jobs, make_recipe
from edgevit.flows._gate.time_pairs import Pair, compared, time_pairs, timed_blocks
from edgevit.steps.messages import Timed, TimeRequest
from edgevit.validate.latency_regression import LOOKS, Block, judge, ratio_of_blocks

LIMIT: Final = 10.0
SLOWER: Final = 1.15
WIDTH, SIDE, PATCH, LAYERS = 256, 128, 16, 40
TRUTH_BLOCKS: Final = 24
ALONE_PAIRS: Final = 12
CASES: Final = ("same/idle", "same/busy", "slower/idle", "slower/busy")
OUTCOMES: Final = ("pass", "regressed", "inconclusive")
# More than so many of 100 false alarms, or fewer found, is a miss.
MOST_ALARMS, LEAST_FOUND = 0.02, 0.95
BUSY: Final = (
    "while True: pass",
    "data = bytearray(64 << 20)\nwhile True: data[: 32 << 20] = data[32 << 20 :]",
)
RECIPE: Final = make_recipe.make({"model": "a file"})


def main() -> int:
    """Calibrate, compare, report."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("folder", type=Path, metavar="DIR")
    cli.add_argument("--count", type=int, default=100, help="comparisons of each case")
    cli.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    cli.add_argument("--report", action="store_true")
    asked = cli.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not asked.report:
        calibrate(asked.folder)
        for case in asked.only:
            with busy() if case.endswith("busy") else idle():
                for number in range(asked.count):
                    if (case, number) not in {(c["case"], c["number"]) for c in done(asked.folder)}:
                        compare(asked.folder, case, number)
    return report(asked.folder)


def calibrate(folder: Path) -> None:
    """Write the files, the slower one with as many layers as it takes, and how much slower it really is."""
    if (folder / "calibration.json").exists():
        return
    write(folder / "old.onnx", LAYERS, "as it was")
    write(folder / "same.onnx", LAYERS, "made again")
    write(folder / "double.onnx", 2 * LAYERS, "twice")
    one_layer = (truth(folder, "double", LOOKS[0]).value - 1) / LAYERS
    more = round((SLOWER - 1) / one_layer)
    write(folder / "slower.onnx", LAYERS + more, "slower")
    known: dict[str, Any] = {
        "layers": [LAYERS, LAYERS + more],
        "macs": [macs(LAYERS), macs(LAYERS + more)],
        "load": os.getloadavg()[0],
    }
    for name in ("same", "slower"):
        beside = truth(folder, name, TRUTH_BLOCKS)
        known[name] = [beside.value, *beside.ci95]
        known[f"{name} alone"] = alone(folder, name)
    (folder / "calibration.json").write_text(json.dumps(known))


def truth(folder: Path, name: str, blocks: int) -> Ratio:
    """The ratio to old.onnx from so many blocks."""
    pair = Pair(folder / "old.onnx", folder / f"{name}.onnx", "onnx")
    return ratio_of_blocks(compared(list(islice(timed_blocks(f"timing {name}", pair, RECIPE), blocks)))[1])


def alone(folder: Path, name: str) -> list[float]:
    """The ratio to old.onnx by the wall clock, each file in processes of its own, with a t interval over pairs."""
    paths = [folder / "old.onnx", folder / f"{name}.onnx"]
    ratios = []
    for number in range(ALONE_PAIRS):
        medians = {path: _median_ms(path) for path in (paths if number % 2 else paths[::-1])}
        ratios.append(math.log(medians[paths[1]] / medians[paths[0]]))
    interval = stats.ttest_1samp(ratios, 0.0).confidence_interval(0.95)
    return [math.exp(value) for value in (statistics.fmean(ratios), interval.low, interval.high)]


def _median_ms(path: Path) -> float:
    with scratch(WORK) as work:
        request = TimeRequest(
            work=str(work),
            runtime="onnxruntime",
            threads=1,
            runs=60,
            paths=(str(path.absolute()),),
        )
        job = _jobs.on_file("timing", "time_files:measure", request, path, RECIPE, 1)
        (timing,) = _jobs.run(job, Timed).timings
    return statistics.median(timing.runs_ms)


def compare(folder: Path, case: str, number: int) -> None:
    """One comparison, as the gate makes it; one line in comparisons.jsonl."""
    pair = Pair(folder / "old.onnx", folder / f"{case.partition('/')[0]}.onnx", "onnx")
    begin = time.monotonic()
    found = time_pairs({case: pair}, {case: LIMIT}, replace(RECIPE, seed=number), Silent())[case]
    if found.ratio is None:
        sys.exit(f"{case}: {found.reason}")
    by_wall = ratio_of_blocks([Block(b.old.runs_ms, b.new.runs_ms, b.new_first) for b in found.blocks])
    line = {
        "case": case,
        "number": number,
        "outcome": found.outcome,
        "ratio": [found.ratio.value, *found.ratio.ci95],
        "wall": [by_wall.value, *by_wall.ci95],
        "wall_outcome": judge(by_wall, LIMIT),
        "p50_ms": [found.old_p50_ms, found.new_p50_ms],
        "blocks": len(found.blocks),
        "seconds": round(time.monotonic() - begin, 1),
        "load": os.getloadavg()[0],
    }
    with (folder / "comparisons.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(
        f"{case} {number}: {found.outcome}: {found.reason}; {line['seconds']} s", file=sys.stderr, flush=True
    )


def done(folder: Path) -> list[dict[str, Any]]:
    """The comparisons that were made."""
    path = folder / "comparisons.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(folder: Path) -> int:
    """One line for each case; 1 where one of them misses."""
    known = json.loads((folder / "calibration.json").read_text())
    share = known["macs"][1] / known["macs"][0]
    for name in ("same", "slower"):
        value, low, high = known[name]
        more = f" with {share:.3f} times the multiply-accumulates" if name == "slower" else ""
        by_wall, *ends = known[f"{name} alone"]
        print(
            f"{name}{more}: takes {value:.3f} times as long [{low:.3f}, {high:.3f}]; each alone, by the wall clock "
            f"{by_wall:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]; load {known['load']:.2g}"
        )
    missed = False
    for case in CASES:
        rows = [row for row in done(folder) if row["case"] == case]
        if rows:
            missed |= _report_case(case, rows)
    return int(missed)


def _report_case(case: str, rows: list[dict[str, Any]]) -> bool:
    """Print one line; whether the case misses."""
    n, count = len(rows), sum(row["outcome"] == "regressed" for row in rows)
    wanted = case.startswith("slower")
    missed: bool = count < LEAST_FOUND * n if wanted else count > MOST_ALARMS * n
    low, high = clopper_pearson(count, n)
    wall = ", ".join(f"{sum(row['wall_outcome'] == kind for row in rows)} {kind}" for kind in OUTCOMES)
    told = (
        f"{case}: {count} of {n} {'found' if wanted else 'false alarms'} [{100 * low:.1f}, {100 * high:.1f}] %",
        *(["MISSED"] if missed else []),
        f"{sum(row['outcome'] == 'inconclusive' for row in rows)} inconclusive",
        f"ratio {_spread([row['ratio'][0] for row in rows])}",
        f"by the wall clock of the same runs {wall}, ratio {_spread([row['wall'][0] for row in rows])}",
        f"old file {_spread([row['p50_ms'][0] for row in rows])} ms",
        f"{_spread([row['blocks'] for row in rows])} blocks in {_spread([row['seconds'] for row in rows])} s",
        f"load {_spread([row['load'] for row in rows])}",
    )
    print("; ".join(told))
    return missed


def clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """Exact two-sided 95 % interval of a share."""
    low = 0.0 if count == 0 else float(stats.beta.ppf(0.025, count, n - count + 1))
    high = 1.0 if count == n else float(stats.beta.ppf(0.975, count + 1, n - count))
    return low, high


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


@contextmanager
def busy() -> Iterator[None]:
    """Two processes that want a core each; they end with this one."""
    others = [subprocess.Popen([sys.executable, "-c", _until_orphaned(text)]) for text in BUSY]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _until_orphaned(text: str) -> str:
    return f"import ctypes, signal\nctypes.CDLL(None).prctl(1, signal.SIGKILL)\n{text}"


@contextmanager
def idle() -> Iterator[None]:
    """Nothing of ours runs beside it."""
    yield


def macs(layers: int) -> int:
    """Multiply-accumulates of one image."""
    tokens = (SIDE // PATCH) ** 2
    return tokens * WIDTH * (3 * PATCH**2 + layers * WIDTH)


def write(path: Path, layers: int, remark: str) -> None:
    """Patches of the image, through so many products with ReLU; the same seed for every file."""
    rng = np.random.default_rng(0)
    tokens = (SIDE // PATCH) ** 2
    constants = {"stem": rng.normal(0, 0.02, (WIDTH, 3, PATCH, PATCH)).astype(np.float32)}
    constants |= {
        f"w{i}": rng.normal(0, 1.4 / WIDTH**0.5, (WIDTH, WIDTH)).astype(np.float32) for i in range(layers)
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["patches"], strides=[PATCH, PATCH]),
        helper.make_node("Reshape", ["patches", "shape"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["x0"], perm=[0, 2, 1]),
    ]
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("ReduceMean", [f"x{layers}"], ["logits"], axes=[1], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, WIDTH])],
        [
            numpy_helper.from_array(np.array([1, WIDTH, tokens]), "shape"),
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
        ],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8, doc_string=remark), path)


if __name__ == "__main__":
    sys.exit(main())
