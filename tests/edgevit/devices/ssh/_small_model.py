"""A file of one layer, and what it answers by numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent.feed import Feed
from edgevit.core.runner import DeviceFile, DeviceOutput

SIDE, CLASSES = 32, 100
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 0.2)
FILE = DeviceFile(Feed("NCHW", False, MEAN, STD), (SIDE, SIDE, 3), (DeviceOutput("logits"),))


def _weights() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, CLASSES)).astype(np.float32)


def save(folder: Path) -> Path:
    """A linear layer as `model.onnx`, 1.2 MB."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(_weights(), "w")],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def images(folder: Path, count: int, seed: int = 0) -> Path:
    """uint8 (N, height, width, 3) as .npy."""
    path = folder / f"pixels{seed}.npy"
    np.save(path, np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8))
    return path


def answers(pixels: Path) -> NDArray[np.float64]:
    """Of the layer, (N, CLASSES)."""
    values = (np.load(pixels) / 255 - MEAN) / STD
    return values.transpose(0, 3, 1, 2).reshape(len(values), -1) @ _weights().astype(np.float64)
