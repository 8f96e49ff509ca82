"""What ONNX Runtime's float16 kernels lose on a device, one operator at a time, against float64.

    python -m bench.half_kernels --device ssh://board-2299

Each file holds one operator with random weights, in float16. It is executed there and here on noise and held against
numpy in float64 on the same float16 numbers. Prints SQNR in dB. Where a processor has no half-precision arithmetic,
ONNX Runtime computes in float32 and rounds the result, and both columns are the same.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent.feed import Feed, tensor
from edgevit.core.decibels import sqnr_db
from edgevit.core.runner import DeviceFile, DeviceOutput
from edgevit.devices.session import Chunk
from edgevit.flows._devices.sessions import session_on

TOKENS: Final = 17
HEADS: Final = 3
FEED: Final = Feed("NHWC", False, (0.5,), (0.25,))
OPSET: Final = 23  # the first with Attention

Doubles = NDArray[np.float64]


class Case(NamedTuple):
    """One operator on (TOKENS, width), and what it should give for the float16 numbers `x`."""

    name: str
    width: int
    node: onnx.NodeProto
    weights: dict[str, NDArray[np.float16]]
    expected: Doubles


def main() -> None:
    """Execute there and here, compare, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--device", default="local")
    asked = cli.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here, there = (list(_on(where, Path(name))) for where in ("local", asked.device))
    print(f"| operator | here | {asked.device} |\n| --- | --- | --- |")
    for (case, ours), (_, theirs) in zip(here, there, strict=True):
        print(f"| {case} | {ours:.1f} dB | {theirs:.1f} dB |")


def cases() -> Iterator[Case]:
    """Products with growing sums, and attention with heads of several sizes."""
    random = np.random.default_rng(0)
    for length in (16, 64, 384, 768, 3072):
        x, w = _noise(length).astype(float), _weights(random, length, 64)
        node = helper.make_node("MatMul", ["half", "w"], ["y"])
        yield Case(f"MatMul, sums of {length}", length, node, {"w": w}, x @ w.astype(float))
    for size in (8, 12, 16, 20, 24, 28, 32, 64):
        x = _noise(HEADS * size).astype(float)
        node = helper.make_node("Attention", ["half"] * 3, ["y"], q_num_heads=HEADS, kv_num_heads=HEADS)
        yield Case(f"Attention, heads of {size}", HEADS * size, node, {}, _attention(x, size))


def _attention(x: Doubles, size: int) -> Doubles:
    heads = x.reshape(TOKENS, HEADS, size).transpose(1, 0, 2)
    scores = heads @ heads.transpose(0, 2, 1) / np.sqrt(size)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed: Doubles = weights / weights.sum(-1, keepdims=True) @ heads
    return mixed.transpose(1, 0, 2).reshape(TOKENS, HEADS * size)


def _on(where: str, folder: Path) -> Iterator[tuple[str, float]]:
    with session_on(where) as session:
        for number, case in enumerate(cases()):
            path, pixels = folder / f"{number}.onnx", folder / f"{number}.npy"
            onnx.save(_model(case), path)
            np.save(pixels, _pixels(case.width))
            chunk = Chunk(session.store.put_array(pixels), folder / f"{number}-{where.partition(':')[0]}.npz")
            file = DeviceFile(FEED, (TOKENS, case.width, 1), (DeviceOutput("out"),))
            session.execute(
                session.store.put(path),
                file,
                (chunk,),
                threads=1,
                unit="all",
                timeout=600.0,
                done=lambda *_: None,
            )
            with np.load(chunk.outputs) as stored:
                found = stored[stored.files[0]].reshape(case.expected.shape).astype(float)
            yield (
                case.name,
                sqnr_db(float((case.expected**2).sum()), float(((found - case.expected) ** 2).sum())),
            )


def _model(case: Case) -> onnx.ModelProto:
    shape = np.array([1, TOKENS, case.width])
    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["half"], to=TensorProto.FLOAT16),
        case.node,
        helper.make_node("Cast", ["y"], ["out"], to=TensorProto.FLOAT),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, TOKENS, case.width, 1]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, None),
    ]
    constants = [
        numpy_helper.from_array(value, name) for name, value in {"shape": shape, **case.weights}.items()
    ]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _weights(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.float16]:
    return (random.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float16)


def _pixels(width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (1, TOKENS, width, 1), np.uint8)


def _noise(width: int) -> NDArray[np.float16]:
    return tensor(_pixels(width), FEED).reshape(TOKENS, width).astype(np.float16)


if __name__ == "__main__":
    main()
