"""The program that HTP gets: QNN's own graph of a file, with the type of every tensor.

That a file opens says little: what the execution provider does not recognise as quantized goes to HTP as Dequantize,
a float operator and Quantize, and HTP executes that too (the emulator in float32, whatever a device does). So what runs
in integers is read here, and not in the file.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from edgevit.core.errors import StepError
from edgevit.runtimes._qnn.opened import open_whole

# They change numbers from one form into another, and compute nothing.
CONVERSIONS: Final = ("Quantize", "Dequantize", "Convert", "Cast")
_CONVOLUTIONS: Final = ("Conv2d", "DepthWiseConv2d", "Conv3d")
# QnnTypes.h, Qnn_DataType_t in hexadecimal: its last two digits are the bits, those before them the kind.
_FLOAT: Final = 0x2
_FIXED: Final = (0x3, 0x4)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of QNN.

    Attributes:
        bits: of one value.
        fixed: whether its values stand for real numbers by scale and offset.
        real: whether they are floats.
    """

    dims: tuple[int, ...]
    bits: int
    fixed: bool
    real: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of QNN.

    Attributes:
        kind: as QNN calls it, `Conv2d`.
        outputs: names of its results, which are those of the file where the file has them.
        flags: its scalar parameters.
    """

    kind: str
    name: str
    outputs: tuple[str, ...]
    takes: tuple[Tensor, ...]
    gives: tuple[Tensor, ...]
    flags: Mapping[str, float]

    @property
    def in_float(self) -> bool:
        """Whether it computes with floats."""
        return self.kind not in CONVERSIONS and any(t.real for t in (*self.takes, *self.gives))

    @property
    def macs(self) -> int:
        """Multiply-accumulates, 0 for what has none."""
        if self.kind not in (*_CONVOLUTIONS, "TransposeConv2d", "FullyConnected", "MatMul"):
            return 0
        out, (first, second) = math.prod(self.gives[0].dims), self.takes[:2]
        if self.kind in _CONVOLUTIONS:  # weights (height, width, in / groups, out)
            return out * math.prod(second.dims[:-1])
        if self.kind == "TransposeConv2d":  # (height, width, in, out / groups)
            return math.prod(first.dims) * math.prod(second.dims) // second.dims[-2]
        if self.kind == "FullyConnected":  # (out, in)
            return out * second.dims[-1]
        return out * first.dims[-2 if self.flags.get("transpose_in0") else -1]

    @property
    def mac_bits(self) -> int | None:
        """Width of the wider factor of its products; None where they are not of integers."""
        factors = self.takes[:2]
        return max(t.bits for t in factors) if all(t.fixed for t in (*factors, *self.gives)) else None


class _TensorText(TypedDict):
    data_type: int
    dims: list[int]


class _NodeText(TypedDict):
    type: str
    input_names: list[str]
    output_names: list[str]
    scalar_params: dict[str, dict[str, float]]


def read(model: bytes | Path, path: Path, architecture: str) -> tuple[Operation, ...]:
    """Compile the file and read QNN's graph of it.

    Raises:
        RefusedError: HTP takes only a part of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        open_whole(model, path, architecture, {"dump_json_qnn_graph": "1", "json_qnn_graph_dir": folder})
        graphs = [f for f in sorted(Path(folder).glob("*.json")) if not f.name.endswith("_tensor_log.json")]
        if not graphs:
            raise StepError(f"the QNN execution provider told nothing of what it made of {path}")
        return tuple(operation for file in graphs for operation in _operations(file))


def _operations(file: Path) -> list[Operation]:
    graph = json.loads(file.read_text())["graph"]
    tensors: dict[str, _TensorText] = graph["tensors"]
    nodes: dict[str, _NodeText] = graph["nodes"]
    return [_operation(name, node, tensors) for name, node in nodes.items()]


def _operation(name: str, node: _NodeText, tensors: Mapping[str, _TensorText]) -> Operation:
    return Operation(
        kind=node["type"],
        name=name,
        outputs=tuple(node["output_names"]),
        takes=tuple(_tensor(tensors[n]) for n in node["input_names"] if n in tensors),
        gives=tuple(_tensor(tensors[n]) for n in node["output_names"] if n in tensors),
        flags={key: next(iter(value.values()), 0) for key, value in node["scalar_params"].items()},
    )


def _tensor(said: _TensorText) -> Tensor:
    kind, bits = divmod(said["data_type"], 0x100)
    return Tensor(tuple(said["dims"]), int(f"{bits:x}"), kind in _FIXED, kind == _FLOAT)
