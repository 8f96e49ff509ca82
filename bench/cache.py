"""What a conversion takes with the cache empty and filled, for one more precision, another limit, on a busy machine.

    python -m bench.cache
    python -m bench.cache --rounds 3 --busy 2 -- demo --precision fp16,w8a8

Behind `--` stand the arguments of `edgevit convert`; left out, the demo in fp16 and w8a8 for all targets. Each round
begins with an empty cache. Prints seconds by the clock and of the processor, the median of the rounds, each beside the
first run of its round; and whether all model files of a round have the same bytes as without a cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.conversion_time import processor_s

DEFAULT: Final = ("demo", "--precision", "fp16,w8a8")
MORE: Final = "w8"


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one conversion, and the digests of its model files."""

    wall: float
    cpu: float
    files: dict[str, str]


def main() -> int:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--rounds", type=int, default=1)
    cli.add_argument("--busy", type=int, default=0, help="processes beside one more cold run of each round")
    cli.add_argument("conversion", nargs="*", default=DEFAULT)
    asked = cli.parse_args()
    rows: dict[str, list[tuple[Taken, Taken]]] = {}
    same = True
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            cache = ("--cache", str(folder / "cache"))
            cold = convert(folder / "cold", (*asked.conversion, *cache))
            found = {"cold": cold}
            found["the same again"] = convert(folder / "hot", (*asked.conversion, *cache))
            found["another limit"] = convert(folder / "limit", (*asked.conversion, *cache, "--min-sqnr", "1"))
            more = convert(folder / "more", (*asked.conversion, *cache, "--precision", MORE))
            found[f"{MORE} too"] = more
            found["off"] = convert(folder / "off", (*asked.conversion, "--cache", "off"))
            if asked.busy:
                with busy(asked.busy):
                    name = f"off, {asked.busy} busy processes beside it"
                    found[name] = convert(folder / "busy", (*asked.conversion, "--cache", "off"))
        for name, taken in found.items():
            rows.setdefault(name, []).append((taken, cold))
            same &= all(taken.files[key] == value for key, value in cold.files.items())
            print(f"{name}: {taken.wall:.1f} s, {taken.cpu:.1f} s of the processor", flush=True)
    print("\n| run | seconds | of the processor | of the cold run, by the clock |\n| --- | --- | --- | --- |")
    for name, pairs in rows.items():
        wall, cpu = (statistics.median(getattr(t, kind) for t, _ in pairs) for kind in ("wall", "cpu"))
        ratio = statistics.median(t.wall / cold.wall for t, cold in pairs)
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {ratio:.2f} |")
    print(f"model files have the same bytes in all runs: {'yes' if same else 'NO'}")
    return 0 if same else 1


def convert(output: Path, arguments: Sequence[str]) -> Taken:
    """One conversion by the command line."""
    command = [sys.executable, "-m", "edgevit", "convert", *arguments, "-q", "-o", str(output)]
    used, start = processor_s(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, cpu = time.monotonic() - start, processor_s() - used
    if not (output / "report.json").is_file():
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    found = (path for path in output.rglob("*") if path.is_file() and path.parent != output)
    return Taken(
        wall,
        cpu,
        {str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found},
    )


def busy(count: int) -> ExitStack:
    """So many processes that do nothing else, until the end of the block."""
    stack = ExitStack()
    for _ in range(count):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(process.wait)
        stack.callback(process.kill)
    return stack


if __name__ == "__main__":
    os.environ.pop("EDGEVIT_CACHE", None)
    raise SystemExit(main())
