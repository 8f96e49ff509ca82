"""What int16 activations cost in LiteRT: a float file, and the same with int8 weights and int16 activations.

python -m bench.int16_activations dist/demo/tflite/fp32/model.tflite

ai-edge-quantizer's recipe `static_wi8_ai16` makes the second file, calibrated on four images of noise: the question is
its time, not its accuracy. Both are executed in turn on one thread. Prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Quantize, time, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("file", type=Path, help="a float .tflite with one input")
    cli.add_argument("--rounds", type=int, default=12)
    asked = cli.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "int16.tflite"
        _quantize(asked.file, quantized)
        times = [[], []]
        sessions = [_opened(asked.file), _opened(quantized)]
        for _ in range(asked.rounds):
            for session, taken in zip(sessions, times, strict=True):
                begin = time.perf_counter()
                session.invoke()
                taken.append(1000 * (time.perf_counter() - begin))
    middle = [median(taken[1:]) for taken in times]  # the first round warms up
    print(
        f"float {middle[0]:.1f} ms, int16 activations {middle[1]:.1f} ms: {middle[1] / middle[0]:.1f} times"
    )


def _quantize(float_file: Path, out: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(str(float_file), recipe.static_wi8_ai16())
    ((key, signature),) = Interpreter(str(float_file)).get_signature_list().items()
    session = Interpreter(str(float_file))
    shape = session.get_input_details()[0]["shape"]
    noise = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    calibrated = work.calibrate({key: [{signature["inputs"][0]: image} for image in noise]})
    work.quantize(calibrated, enable_progress_report=False).export_model(str(out), overwrite=True)


def _opened(path: Path) -> Interpreter:
    session = Interpreter(str(path), num_threads=1)
    session.allocate_tensors()
    entry = session.get_input_details()[0]
    session.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    return session


if __name__ == "__main__":
    main()
