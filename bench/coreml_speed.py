"""Images per second of the Core ML reference evaluator on one package.

python -m bench.coreml_speed dist/demo/coreml/w8a8/model.mlpackage --images 512
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from edgevit.core.runner import RunOptions
from edgevit.registries import RUNTIMES


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("package", type=Path, nargs="+")
    cli.add_argument("--images", type=int, default=512)
    cli.add_argument("--threads", type=int, default=0)
    args = cli.parse_args()
    runtime = RUNTIMES.get("coreml_reference")
    for package in args.package:
        spec = runtime.contents(package).preprocess
        assert spec is not None, f"{package} carries no preprocessing"
        shape = (args.images, spec.height, spec.width, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        with runtime.open(package, RunOptions(threads=args.threads)) as runner:
            runner.run(pixels[:64])
            begin = time.perf_counter()
            runner.run(pixels)
            seconds = time.perf_counter() - begin
        print(f"{package}: {args.images / seconds:.0f} images/s")


if __name__ == "__main__":
    main()
