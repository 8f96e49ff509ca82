"""What the schema's object API gives, as far as it is read and edited here: its module is generated and has no types.

https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs has every field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.int32] | MutableSequence[int]  # it writes both alike


class Buffer(Protocol):
    """Bytes of a constant, None for a computed tensor."""

    data: NDArray[np.uint8] | None


class Blocks(Protocol):
    """Scales of a weight in blocks: the index of the tensor that holds them."""

    scales: int
    zeroPoints: int
    blockSize: int


class Quantization(Protocol):
    """Scale and zero point of a tensor, or of each index of an axis."""

    scale: NDArray[np.float32]
    zeroPoint: NDArray[np.int64]
    quantizedDimension: int
    detailsType: int
    details: Blocks


class Tensor(Protocol):
    """A tensor of a subgraph. `shape` is None for a scalar, `quantization` where it holds real numbers."""

    name: bytes | str | None
    shape: Indices
    type: int
    buffer: int
    quantization: Quantization


class Operator(Protocol):
    """An operator; its options are one of a hundred classes of the schema."""

    inputs: Indices
    outputs: Indices
    opcodeIndex: int
    builtinOptionsType: int
    builtinOptions: Any


class SubGraph(Protocol):
    """Tensors, and operators in the order of execution."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: Indices
    outputs: Indices


class OperatorCode(Protocol):
    """A kind of operator and its version."""

    builtinCode: int
    deprecatedBuiltinCode: int
    version: int


class Metadata(Protocol):
    """Bytes under a name."""

    name: bytes | str | None
    buffer: int


class TensorName(Protocol):
    """A name of a signature for a tensor."""

    name: bytes | str | None
    tensorIndex: int


class Signature(Protocol):
    """Names of inputs and outputs."""

    inputs: list[TensorName]
    outputs: list[TensorName]


class Model(Protocol):
    """A whole file."""

    subgraphs: list[SubGraph]
    buffers: list[Buffer]
    operatorCodes: list[OperatorCode]
    metadata: list[Metadata] | None
    signatureDefs: list[Signature]
    description: bytes | str | None

    def Pack(self, builder: object) -> int:
        """Write it with a builder of flatbuffers; returns where its table is."""
        ...
