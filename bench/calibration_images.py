"""Calibrate the demo on images darker than those that it is judged on: what that costs, and what is said.

    python -m bench.calibration_images [--darker 20] [--images 64]

Prints, for calibration images as they are and divided by `--darker`, the simulated SQNR of each target's w8a8 plan, the
share of values that its ranges clip on either set, and the warnings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgevit.core.assets import demo_asset
from edgevit.flows import make_recipe as recipes
from edgevit.flows._run_prepare import backends
from edgevit.steps import prepare
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.resolve import resolve


def prepared(folder: Path, divisor: int, count: int) -> Prepared:
    """The demo's w8a8 plans, calibrated on images divided by `divisor` and judged on 128 others."""
    with np.load(demo_asset("calibration.npz")) as stored:
        np.savez(folder / "images.npz", images=stored["images"] // divisor)
    settings = {
        "model": "demo",
        "precision": "w8a8",
        "calibrate": str(folder / "images.npz"),
        "calibration_count": count,
        "evaluate": "demo",
        "evaluate_count": 128,
    }
    work = resolve(recipes.make(settings))
    request = PrepareRequest(work=str(folder), recipe=work.recipe, backends=backends(work))
    return prepare.prepare(request, lambda event: None)


def main() -> None:
    """Print both cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--darker", type=int, default=20)
    parser.add_argument("--images", type=int, default=64)
    asked = parser.parse_args()
    for divisor in (1, asked.darker):
        with TemporaryDirectory() as scratch:
            found = prepared(Path(scratch), divisor, asked.images)
        print(f"calibration images divided by {divisor}")
        for plan in found.simulated:
            assert plan.ranges is not None
            clipped = 100 * plan.ranges.clipped_calibrate, 100 * plan.ranges.clipped_evaluate
            print(
                f"  {plan.target:7} {plan.compression.sqnr_db:5.1f} dB, clipped: {clipped[0]:.3f} % of the "
                f"calibration images' values, {clipped[1]:.3f} % of the others'"
            )
        for text in found.warnings:
            print(f"  warning: {text}")


if __name__ == "__main__":
    main()
