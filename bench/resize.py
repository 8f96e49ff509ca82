"""ONNX Runtime's Resize against the two products with constant matrices that do the same.

python -m bench.resize [--threads N]

Milliseconds (median of 60 runs) for square images of some channels, as vision transformers resize them. The
values of both are compared first. It is why edgevit writes products for bicubic and antialiased resizing, and
leaves nearest and bilinear to the operator.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZES: Final = (
    (3, 224, 160),
    (64, 14, 28),
    (64, 28, 56),
    (128, 56, 28),
    (256, 7, 14),
    (64, 16, 7),
    (32, 64, 24),
)
MODES: Final = (("linear", False), ("cubic", False), ("linear", True), ("cubic", True))
LEAST_DB: Final = 80.0


def main() -> None:
    """Print one row for each size."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--threads", type=int, default=1)
    threads = cli.parse_args().threads
    names = [mode + (" antialiased" if antialias else "") for mode, antialias in MODES]
    print(f"| channels, from, to | products | {' | '.join(names)} |")
    print("| --- |" + " --- |" * (1 + len(names)))
    for channels, before, after in SIZES:
        image = np.random.default_rng(0).standard_normal((1, channels, before, before)).astype(np.float32)
        cells = []
        for mode, antialias in MODES:
            products = _products(before, after, mode, antialias, threads)
            resize = _resize(channels, after, mode, antialias, threads)
            wanted, found = (session.run(None, {"x": image})[0] for session in (products, resize))
            level = 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum())
            assert level > LEAST_DB, (mode, antialias, level)
            cells += [] if cells else [f"{_milliseconds(products, image):.3f}"]
            cells.append(f"{_milliseconds(resize, image):.3f}")
        print(f"| {channels}, {before}, {after} | {' | '.join(cells)} |", flush=True)


def _products(
    before: int, after: int, mode: str, antialias: bool, threads: int
) -> onnxruntime.InferenceSession:
    unit = torch.eye(before).reshape(1, before, before, 1).repeat(1, 1, 1, 2)
    matrix = torch.nn.functional.interpolate(unit, (after, 2), mode=f"bi{mode}", antialias=antialias)
    columns = matrix[0, :, :, 0].numpy()
    nodes = [
        helper.make_node("MatMul", ["rows", "x"], ["t"]),
        helper.make_node("MatMul", ["t", "cols"], ["y"]),
    ]
    held = [
        numpy_helper.from_array(np.ascontiguousarray(columns.T), "rows"),
        numpy_helper.from_array(columns, "cols"),
    ]
    return _session(nodes, held, threads)


def _resize(
    channels: int, after: int, mode: str, antialias: bool, threads: int
) -> onnxruntime.InferenceSession:
    node = helper.make_node(
        "Resize",
        ["x", "", "", "size"],
        ["y"],
        mode=mode,
        antialias=int(antialias),
        coordinate_transformation_mode="half_pixel",
        cubic_coeff_a=-0.5 if antialias else -0.75,  # as PyTorch, which also renormalises at the borders
        exclude_outside=int(antialias),
    )
    size = numpy_helper.from_array(np.array([1, channels, after, after], np.int64), "size")
    return _session([node], [size], threads)


def _session(
    nodes: list[onnx.NodeProto], held: list[onnx.TensorProto], threads: int
) -> onnxruntime.InferenceSession:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "channels", "height", "width"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "resize", [image], [result], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _milliseconds(session: onnxruntime.InferenceSession, image: NDArray[np.float32], runs: int = 60) -> float:
    times = []
    for _ in range(runs + 5):
        begin = time.perf_counter()
        session.run(None, {"x": image})
        times.append((time.perf_counter() - begin) * 1e3)
    return float(np.median(times[5:]))


if __name__ == "__main__":
    main()
