"""What fusing a model's own branches brings: ONNX nodes and latency, with it and without, in one process.

python -m bench.reparameterize --cache DIR [MODEL ...]

Each MODEL of timm gets seeded weights and is converted twice, the second time with `--without reparameterize`.
Both files are executed in turn (see bench/latency.py); the ratio of the medians comes with its 95 % interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np

import edgevit
from bench.latency import measure, ratio
from edgevit.graph.reparameterize import NAME

MODELS: Final = ("fastvit_t8", "repvit_m0_9", "mobileone_s0")


def main() -> None:
    """Convert what the cache lacks, time, print a table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("models", nargs="*", default=MODELS)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--seconds", type=float, default=20.0, help="for each model")
    asked = cli.parse_args()
    print("| model | nodes with branches | fused | ms with branches | fused | branches / fused [95 %] |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in asked.models:
        paths = [_file(name, without, asked.cache) for without in ((NAME,), ())]
        times = measure(paths, asked.threads, asked.seconds)
        value, low, high = ratio(times[0], times[1])
        nodes = " | ".join(str(_nodes(path)) for path in paths)
        medians = " | ".join(f"{np.median(found):.2f}" for found in times)
        print(f"| {name} | {nodes} | {medians} | {value:.2f} [{low:.2f}, {high:.2f}] |", flush=True)


def _file(name: str, without: tuple[str, ...], cache: Path) -> Path:
    bundle = cache / f"{name}{'-branches' if without else ''}"
    if not bundle.exists():
        edgevit.convert(
            f"timm:{name}",
            random_weights=0,
            to=("onnx",),
            precision=("fp32",),
            without=without,
            output=bundle,
        )
    return bundle / "onnx/fp32/model.onnx"


def _nodes(path: Path) -> int:
    import onnx

    return len(onnx.load(path, load_external_data=False).graph.node)


if __name__ == "__main__":
    main()
