"""Latency of our fp32 files against those of the vendors' own converters, interleaved in one process.

python -m bench.latency --cache DIR             convert what DIR does not hold, check, time, print
python -m bench.latency --cache DIR --convert   without the timing, which wants a free machine

All files are made from one model with the same seeded weights, and each is held against PyTorch first. Then
the vendor's file and ours are executed in turn, in many short rounds and from several sessions opened anew
(where a session's memory happens to lie moves its time by a few percent). Prints the ratio of the medians,
ours to the vendor's, with its 95 % interval: a bootstrap over the rounds. Leaves with code 1 if the upper
end of one is above 1.03.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import vendors
from bench.vendors import FORMS, MODELS
from edgevit.registries import METRICS

HIGHEST = 1.03
LEAST_DB = 80.0
SESSIONS = 4
WARM_UP = 0.4  # seconds for each file
RESAMPLES = 2000

Invoke = Callable[[], NDArray[np.float32]]


def main() -> None:
    """Convert, check, time, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("models", nargs="*", default=MODELS)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--convert", action="store_true", help="do not time")
    cli.add_argument("--only", default="", help="text that the form contains: tflite, onnx, fused, split")
    cli.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    cli.add_argument(
        "--denormals", action="store_true", help="keep them in ONNX Runtime, as it does by itself"
    )
    cli.add_argument("--seconds", type=float, default=18.0, help="for each model, format and thread count")
    asked = cli.parse_args()
    for text in asked.models:
        vendors.make_missing(text, asked.cache)
        _check(text, asked.cache)
    if asked.convert:
        return
    print("| model | file | threads | vendor ms | edgevit ms | ratio [95 %] |")
    print("| --- | --- | --- | --- | --- | --- |")
    missed = False
    for text in asked.models:
        for target in dict.fromkeys(form.target for form in FORMS):
            forms = [form for form in FORMS if form.target == target and asked.only in form.name]
            for threads in asked.threads if forms else ():
                names = ["vendor", *(form.name for form in forms)]
                paths = [vendors.path_of(asked.cache, text, name, target) for name in names]
                times = measure(paths, threads, asked.seconds, asked.denormals)
                for form, ours in zip(forms, times[1:], strict=True):
                    value, low, high = ratio(ours, times[0])
                    missed |= high > HIGHEST
                    medians = f"{np.median(times[0]):.2f} | {np.median(ours):.2f}"
                    interval = f"{value:.3f} [{low:.3f}, {high:.3f}]"
                    print(f"| {text} | {form.name} | {threads} | {medians} | {interval} |", flush=True)
    sys.exit(int(missed))


def measure(
    paths: list[Path], threads: int, seconds: float, denormals: bool = False
) -> list[NDArray[np.float64]]:
    """Milliseconds of every round for each file; all files run once in each round, in turning order."""
    times: list[list[float]] = [[] for _ in paths]
    for _ in range(SESSIONS):
        opened = [_open(path, threads, denormals) for path in paths]
        for invoke in opened:
            until = time.perf_counter() + WARM_UP
            while time.perf_counter() < until:
                invoke()
        until = time.perf_counter() + seconds / SESSIONS - WARM_UP * len(paths)
        order = list(range(len(paths)))
        while time.perf_counter() < until:
            for index in order:
                begin = time.perf_counter()
                opened[index]()
                times[index].append((time.perf_counter() - begin) * 1e3)
            order.append(order.pop(0))  # nobody always runs right after the slowest
    return [np.asarray(found) for found in times]


def ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float, float]:
    """Ratio of the medians, and its 95 % interval from rounds drawn again with replacement."""
    draw = np.random.default_rng(0).integers(0, len(ours), (RESAMPLES, len(ours)))
    found = np.median(ours[draw], axis=1) / np.median(theirs[draw], axis=1)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(np.median(ours) / np.median(theirs)), float(low), float(high)


def _check(text: str, cache: Path) -> None:
    """Hold every file against PyTorch."""
    import torch

    model = vendors.load(text)
    with torch.no_grad():
        wanted = model.module(vendors.image(model)).numpy().reshape(1, -1)
    for name, target in [*((f.name, f.target) for f in FORMS), ("vendor", "tflite"), ("vendor", "onnx")]:
        path = vendors.path_of(cache, text, name, target)
        db = METRICS.get("sqnr").compute(wanted, _open(path, 1)().reshape(1, -1), None)
        print(f"{text} {target} {name}: {db:.1f} dB", file=sys.stderr, flush=True)
        if db < LEAST_DB:
            sys.exit(f"{path} does not compute the model")


def _open(path: Path, threads: int, denormals: bool = False) -> Invoke:
    """Execute once on seeded noise, which is in the file's layout before the clock starts."""
    return _litert(path, threads) if path.suffix == ".tflite" else _onnxruntime(path, threads, denormals)


def _onnxruntime(path: Path, threads: int, denormals: bool) -> Invoke:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Workers of one session that spin on after a run would slow the one that is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not denormals:  # as in edgevit's own sessions
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry, result = session.get_inputs()[0], session.get_outputs()[0]
    values = {entry.name: _noise(entry.shape[2:])}

    def invoke() -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([result.name], values)[0]
        return found

    return invoke


def _litert(path: Path, threads: int) -> Invoke:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    first = entry["shape"][1] == 3
    values = _noise(entry["shape"][2:] if first else entry["shape"][1:3])
    interpreter.set_tensor(entry["index"], values if first else values.transpose(0, 2, 3, 1))

    def invoke() -> NDArray[np.float32]:
        interpreter.invoke()
        found: NDArray[np.float32] = interpreter.get_tensor(result["index"])
        return found

    return invoke


def _noise(size: Sequence[int]) -> NDArray[np.float32]:
    """The image of `vendors.image`, float32 (1, 3, *size)."""
    import torch

    height, width = (int(n) for n in size)
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)).numpy()


if __name__ == "__main__":
    main()
