"""What a device over SSH costs more than this computer: the same images executed by the same agent, both ways.

python -m bench.device_throughput                       a server of asyncssh on loopback, which is started for it
python -m bench.device_throughput --device ssh://HOST   any device; on loopback, that of a real sshd

Executes a file of DeiT-tiny's size (1.2 GMACs in fp32, one thread) on images of 224x224, once over `local` and once
over SSH, in turn: copying the file and the images, executing, fetching the outputs. Prints the ratio of the medians.
Then once more with what `--keep` left there. Leaves with code 1 if SSH costs more than 10 %, or gives other outputs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent.feed import Feed
from edgevit.core.runner import DeviceFile, DeviceOutput
from edgevit.devices.session import Chunk, Session
from edgevit.flows._devices.sessions import session_on
from tests._ssh_server import serving

MOST = 1.10
CHUNK = 64  # images that travel together, as in a validation
SIDE, TOKENS, WIDTH, BLOCKS, CLASSES = 224, 196, 192, 20, 1000
FILE = DeviceFile(
    Feed("NCHW", False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), (SIDE, SIDE, 3), (DeviceOutput("logits"),)
)


def main() -> None:
    """Execute here and there in turn, compare, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--device", default="")
    cli.add_argument("--images", type=int, default=1000)
    cli.add_argument("--times", type=int, default=3)
    asked = cli.parse_args()
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as name,
        _device(asked.device, Path(name) / "server") as where,
    ):
        folder = Path(name)
        model, chunks = save_model(folder), save_images(folder, asked.images)
        seconds: dict[str, list[float]] = {"local": [], where: []}
        for _ in range(asked.times):
            outputs = []
            for place, spent in seconds.items():
                begin = time.perf_counter()
                outputs.append(_execute(place, False, model, chunks, folder))
                spent.append(time.perf_counter() - begin)
            if not np.array_equal(*outputs):
                sys.exit("the outputs are not the same")
        _execute(where, True, model, chunks, folder)
        begin = time.perf_counter()
        _execute(where, False, model, chunks, folder)
        again = time.perf_counter() - begin
    here, there = (statistics.median(spent) for spent in seconds.values())
    print("| images | here s | over SSH s | ratio | second run s |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| {asked.images} | {here:.2f} | {there:.2f} | {there / here:.3f} | {again:.2f} |")
    sys.exit(there / here > MOST)


def save_model(folder: Path) -> Path:
    """Patches, BLOCKS residual MLPs of a ViT with random weights, a mean over the tokens, and a classifier."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    constants = {
        "patch": weight(WIDTH, 3, 16, 16),
        "shape": np.array([WIDTH, TOKENS]),
        "head": weight(WIDTH, CLASSES),
    }
    nodes = [
        helper.make_node("Conv", ["image", "patch"], ["patches"], strides=[16, 16]),
        helper.make_node("Reshape", ["patches", "shape"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["tokens0"]),
    ]
    for n in range(BLOCKS):
        constants |= {f"up{n}": weight(WIDTH, 4 * WIDTH), f"down{n}": weight(4 * WIDTH, WIDTH)}
        nodes += [
            helper.make_node("MatMul", [f"tokens{n}", f"up{n}"], [f"wide{n}"]),
            helper.make_node("Relu", [f"wide{n}"], [f"relu{n}"]),
            helper.make_node("MatMul", [f"relu{n}", f"down{n}"], [f"more{n}"]),
            helper.make_node("Add", [f"tokens{n}", f"more{n}"], [f"tokens{n + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"tokens{BLOCKS}", "axes"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlps",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [
            numpy_helper.from_array(value, name)
            for name, value in (constants | {"axes": np.array([0])}).items()
        ],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def save_images(folder: Path, count: int) -> list[Path]:
    """Noise, uint8 (N, height, width, 3) each, in pieces as edgevit sends them."""
    random = np.random.default_rng(1)
    paths = []
    for start in range(0, count, CHUNK):
        paths.append(folder / f"pixels-{start}.npy")
        np.save(paths[-1], random.integers(0, 256, (min(CHUNK, count - start), SIDE, SIDE, 3), np.uint8))
    return paths


@contextmanager
def _device(where: str, folder: Path) -> Iterator[str]:
    if where:
        yield where
        return
    with serving(folder) as server:
        os.environ["PATH"] = f"{server.programs}:{os.environ['PATH']}"
        yield server.where


def _execute(where: str, keep: bool, model: Path, images: list[Path], folder: Path) -> np.ndarray:
    with session_on(where, keep) as session:
        return _outputs(session, model, images, folder)


def _outputs(session: Session, model: Path, images: list[Path], folder: Path) -> np.ndarray:
    path = session.store.put(model)
    chunks = tuple(
        Chunk(session.store.send_array(pixels), folder / f"outputs-{number}.npz")
        for number, pixels in enumerate(images)
    )
    session.execute(path, FILE, chunks, threads=1, unit="all", timeout=600.0, done=lambda chunk, count: None)
    found = []
    for chunk in chunks:
        with np.load(chunk.outputs) as outputs:
            found.append(outputs[outputs.files[0]])
    return np.concatenate(found)


if __name__ == "__main__":
    main()
