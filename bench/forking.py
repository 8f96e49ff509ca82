"""Processor seconds of a conversion whose steps are forked from one process, and of one that starts each anew.

    python -m bench.forking                         # a ViT of two blocks for ONNX, and for all three targets
    python -m bench.forking --rounds 5

The two ways take turns. The files of both have to be the same to the byte, or it ends with code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MODEL: Final = (
    *("timm:vit_tiny_patch16_224", "--model-arg", "depth=2", "--image-size", "64", "--num-classes", "10"),
    *(
        "--random-weights",
        "3",
        "--calibrate",
        "demo",
        "--calibration-count",
        "16",
        "--precision",
        "fp32,w8a8",
    ),
)
# What the flow would call is replaced, so that both ways are the same program but for that.
ANEW: Final = """
import contextlib
import edgevit.flows.convert as flow
flow.forking = contextlib.nullcontext
"""
RUN: Final = "from edgevit.cli import main; main()"
TARGETS: Final = ("onnx", "onnx,tflite,coreml")


def main() -> int:
    os.environ["EDGEVIT_CACHE"] = "off"  # what is measured is made, not remembered
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--rounds", type=int, default=3)
    asked = cli.parse_args()
    equal = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for targets in TARGETS:
            seconds: dict[str, list[float]] = {"anew": [], "forked": []}
            files = set()
            for _ in range(asked.rounds):
                for way, prefix in (("anew", ANEW), ("forked", "")):
                    taken, digest = _convert(folder, targets, prefix)
                    seconds[way].append(taken)
                    files.add(digest)
            anew, forked = (statistics.median(seconds[way]) for way in ("anew", "forked"))
            same = len(files) == 1
            equal = equal and same
            print(
                f"{targets}: anew {anew:.1f} s, forked {forked:.1f} s of processor time, "
                f"{forked / anew:.2f} times; files {'equal' if same else 'DIFFER'}"
            )
    return int(not equal)


def _convert(folder: Path, targets: str, prefix: str) -> tuple[float, str]:
    """Processor seconds of one conversion with all its processes, and a digest of the files that it wrote."""
    out = folder / "out"
    wanted = ("--to", targets, "-o", str(out), "--overwrite", "-q")
    command = [sys.executable, "-c", prefix + RUN, "convert", *MODEL, *wanted]
    before = _used()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    total = hashlib.sha256()
    for path in sorted(p for p in out.rglob("model*") if p.is_file() and p.suffix != ".json"):
        total.update(path.read_bytes())
    return _used() - before, total.hexdigest()


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
