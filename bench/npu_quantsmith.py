"""quantsmith's W8A8 of a float ONNX file, which bench/npu_hexagon.py executes beside others.

    python3.11 -m venv QS && QS/bin/pip install quantsmith==0.11.0
    QS/bin/python bench/npu_quantsmith.py FLOAT.onnx CALIBRATION.npy OUT.onnx [--smooth]

CALIBRATION.npy holds normalised images, float32 (N, 3, height, width). An environment of its own; edgevit is not
imported. quantsmith quantizes convolutions and products with constants, with 8-bit activations; it has nothing with
16 bits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from quantsmith import Quantizer, Replay
from quantsmith.config import QuantizationConfig, SmoothQuantConfig
from quantsmith.result import Err


def main() -> None:
    """Write the file, or say what quantsmith answers."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("float_file", type=Path)
    cli.add_argument("calibration", type=Path)
    cli.add_argument("out", type=Path)
    cli.add_argument("--smooth", action="store_true", help="SmoothQuant before it, in its own settings")
    asked = cli.parse_args()
    images = np.load(asked.calibration)
    model = onnx.load(asked.float_file)
    name = model.graph.input[0].name

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for image in images:
            yield {name: image[None]}

    config = QuantizationConfig(smoothing=SmoothQuantConfig()) if asked.smooth else QuantizationConfig()
    outcome = Quantizer.from_config(config).quantize(model).calibrate(Replay(samples))
    if isinstance(outcome, Err):
        error = outcome.error
        sys.exit(f"quantsmith: {error.kind} in {error.operation}: {error.detail}")
    onnx.save(outcome.value.model, asked.out)
    print(outcome.value.execution)


if __name__ == "__main__":
    main()
