"""How often the interval of a device's latency ratio is right: the same file twice, whose ratio is 1.

    python -m bench.device_latency FILE                                  # 50 comparisons on this machine
    python -m bench.device_latency FILE --device ssh://localhost --pairs 50 --threads 1

FILE is one that `edgevit profile` takes. Each comparison is what `edgevit profile BUNDLE --device WHERE` does for a
file and its fp32 file: blocks of runs, each in a process of its own, in ABBA order; only that both are the same bytes.
Prints a line for each, and how many of the 95 % intervals hold 1, with the exact interval of that share (C. J. Clopper
and E. S. Pearson, Biometrika 26, 404-413, 1934). Leaves with code 1 where fewer than 90 % do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from scipy import stats

from edgevit.core.progress import Silent
from edgevit.core.results.report import Ratio
from edgevit.flows._devices.measure import Options, ToMeasure, measure
from edgevit.flows._devices.sessions import session_on
from edgevit.registries import RUNTIMES
from edgevit.steps.artifacts import find_artifacts
from edgevit.steps.device_file import DescribeRequest, describe, device_runtime

LEAST_COVERED: Final = 0.9


def main() -> int:
    """Compare, print, judge."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("file", type=Path, metavar="FILE")
    cli.add_argument("--device", default="local")
    cli.add_argument("--pairs", type=int, default=50)
    cli.add_argument("--runs", type=int, default=50, help="of each file in a comparison")
    cli.add_argument("--threads", type=int, default=1)
    asked = cli.parse_args()
    options = Options(runs=asked.runs, threads=asked.threads, operators=False)
    ratios = []
    for number, (ratio, remark) in enumerate(comparisons(asked.file, asked.device, options, asked.pairs)):
        low, high = ratio.ci95
        hit = "holds 1" if low <= 1 <= high else "MISSES 1"
        print(f"{number + 1:3} {ratio.value:.4f} [{low:.4f}, {high:.4f}] {hit} {remark}", flush=True)
        ratios.append(ratio)
    return report(ratios)


def comparisons(file: Path, device: str, options: Options, pairs: int) -> Iterator[tuple[Ratio, str]]:
    """The ratio of a file to itself, so many times, and what spoke against its times."""
    one = described(file)
    twin = replace(one, name="twin", fp32=one.name)
    with session_on(device) as session:
        for _ in range(pairs):
            _, found = measure(session, (one, twin), options, Silent())
            if found.latency is None or found.latency.ratio_to_fp32 is None:
                raise SystemExit(f"{device} did not time {file}: {found.reason}")
            yield found.latency.ratio_to_fp32, found.unstable


def described(file: Path) -> ToMeasure:
    """What the agent must know of a file."""
    (found,) = find_artifacts(file)
    runtime = device_runtime(found.target)
    told = describe(DescribeRequest(runtime, str(file.absolute())), lambda _: None)
    cpu_bound = RUNTIMES.get(runtime).cpu_bound
    return ToMeasure("file", found.target, file, told.file, "", told.sites, cpu_bound)


def report(ratios: list[Ratio]) -> int:
    """Print the coverage; 1 where it is too low."""
    covered = sum(ratio.ci95[0] <= 1 <= ratio.ci95[1] for ratio in ratios)
    exact = stats.binomtest(covered, len(ratios)).proportion_ci(0.95, method="exact")
    width = statistics.median(ratio.ci95[1] / ratio.ci95[0] - 1 for ratio in ratios)
    print(
        f"{covered} of {len(ratios)} intervals hold 1 ({100 * exact.low:.0f} to {100 * exact.high:.0f} % with 95 % "
        f"confidence); in the median they are {100 * width:.1f} % wide"
    )
    return 0 if covered >= LEAST_COVERED * len(ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
