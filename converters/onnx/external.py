"""Constants of a model in a file beside it, written one by one, so that no second copy is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.disk import whole_files

if TYPE_CHECKING:
    import onnx_ir as ir

SMALL: Final = 1 << 10  # shapes, scales and zero points stay where readers of the graph look for them
_ALIGNMENT: Final = 4096  # a page: runtimes map the file instead of reading it


def write(model: ir.Model, path: Path) -> None:
    """Move every constant of SMALL bytes or more into `path`, in the order of the graph.

    The file is there whole or not at all; the model refers to it by its name.

    Raises:
        StorageError: it cannot be written; a file of that name stays as it was.
    """
    import onnx_ir as ir

    moved = [
        (value, value.const_value)
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes >= SMALL
    ]
    whole_files.write_stream(path, _aligned(tensor for _, tensor in moved))
    offset = 0
    for value, tensor in moved:
        shape = ir.Shape(tensor.shape.numpy())
        value.const_value = ir.ExternalTensor(
            path.name, offset, tensor.nbytes, tensor.dtype, shape=shape, name=str(value.name)
        )
        offset += _padded(tensor.nbytes)


def _aligned(tensors: Iterator[ir.TensorProtocol]) -> Iterator[bytes]:
    for tensor in tensors:
        content = tensor.tobytes()
        yield content
        yield b"\0" * (_padded(len(content)) - len(content))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
