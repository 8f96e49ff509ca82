"""Seconds of one conversion in this checkout and in another one, in turn: ABBA, after one of each that does not count.

    git worktree add ../before REVISION
    python -m bench.conversion_time --before ../before
    python -m bench.conversion_time --before ../before --pairs 2 -- demo --to onnx,tflite,coreml --precision fp32,w8a8

Behind `--` stand the arguments of `edgevit convert`; left out, the demo for ONNX in w8a8 with 32 images of each kind.
Both checkouts run by the same interpreter, one thread each. Prints, for processor seconds of all its processes and for
the wall clock, both medians and the ratio (now / before) with a t interval of the pairs' logarithms, and then the
median of each step that both reports name, which tells where a difference is.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scipy import stats

from bench._zoo.models import ROOT

CONVERSION: Final = (
    *("demo", "--to", "onnx", "--precision", "w8a8"),
    *("--calibration-count", "32", "--evaluate-count", "32"),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one conversion; `steps` by the names in its report."""

    cpu: float
    wall: float
    steps: dict[str, float]


def main() -> int:
    os.environ["EDGEVIT_CACHE"] = "off"  # what is measured is made, not remembered
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--before", type=Path, required=True, help="the other checkout")
    cli.add_argument("--pairs", type=int, default=4)
    cli.add_argument("conversion", nargs="*", default=CONVERSION)
    asked = cli.parse_args()
    before: Path = asked.before.absolute()
    for root in (before, ROOT):
        convert(root, asked.conversion)  # compiles its modules, and fills the machine's file cache
    found: dict[Path, list[Taken]] = {before: [], ROOT: []}
    for number in range(asked.pairs):
        for root in (before, ROOT) if number % 2 == 0 else (ROOT, before):
            taken = convert(root, asked.conversion)
            found[root].append(taken)
            side = "before" if root == before else "now"
            print(f"{side}: {taken.cpu:.1f} s of the processor, {taken.wall:.1f} s", flush=True)
    for name in ("cpu", "wall"):
        print(
            f"{name}: {told([getattr(t, name) for t in found[before]], [getattr(t, name) for t in found[ROOT]])}"
        )
    steps = [name for name in found[ROOT][0].steps if name in found[before][0].steps]
    for name in steps:
        both = (statistics.median(t.steps[name] for t in found[root]) for root in (before, ROOT))
        print(f"step {name}: " + ", ".join(f"{value:.1f} s" for value in both))
    return 0


def convert(root: Path, conversion: Sequence[str]) -> Taken:
    """One conversion by the code in `root`, into a folder that is taken away.

    Raises:
        subprocess.CalledProcessError: it made no report, for another reason than a verdict.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "edgevit",
            "convert",
            *conversion,
            "--threads",
            "1",
            "-q",
            "-o",
            folder,
        ]
        used, start = processor_s(), time.monotonic()
        done = subprocess.run(
            [*command, "--overwrite"], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        wall, cpu = time.monotonic() - start, processor_s() - used
        report = Path(folder) / "report.json"
        if not report.is_file():
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return Taken(cpu, wall, dict(_flat(json.loads(report.read_text())["timings_s"])))


def told(before: Sequence[float], now: Sequence[float]) -> str:
    """Both medians, and the ratio of pairs with its 95 % interval."""
    logs = [math.log(new / old) for old, new in zip(before, now, strict=True)]
    interval = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    ratio, low, high = (math.exp(value) for value in (statistics.fmean(logs), interval.low, interval.high))
    medians = f"{statistics.median(before):.1f} s before, {statistics.median(now):.1f} s now"
    return f"{medians}, ratio {ratio:.2f} [{low:.2f}, {high:.2f}]"


def processor_s() -> float:
    """Of all processes that this one, or one of its children, has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _flat(timings: dict[str, float | dict[str, float]], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in timings.items():
        found += (
            _flat(dict(value), f"{prefix}{name} ") if isinstance(value, dict) else [(prefix + name, value)]
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
