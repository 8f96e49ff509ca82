"""Weights of a Core ML package as views of its file, so that reading a large model takes no memory for them."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What stands in front of each value: a mark, its type, its size in bytes, where it begins.
# https://github.com/apple/coremltools/blob/main/mlmodel/src/MILBlob/Blob/StorageFormat.hpp
_HEADER: Final = struct.Struct("<IIQQ")
_MARK: Final = 0xDEADBEEF
_SMALL: Final = 1 << 12  # bytes, a page


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Within it, coremltools' reader gives large constants as private mappings instead of two copies each.

    They may be written to; the file stays as it is.
    """
    from coremltools.converters.mil.frontend.milproto import load as reader

    copying = reader._load_value

    def load_value(context: Any, spec: Any) -> Any:
        found = _view(Path(context.weights_dir), spec) if context.weights_dir else None
        return copying(context, spec) if found is None else found

    reader._load_value = load_value
    try:
        yield
    finally:
        reader._load_value = copying


def forget(value: NDArray[np.generic] | None) -> None:
    """Let go of the pages of a mapped constant; they are read again from the file where somebody asks."""
    held: object = value
    while held is not None and not isinstance(held, mmap.mmap):
        held = getattr(held, "base", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def _view(folder: Path, spec: Any) -> NDArray[np.generic] | None:
    """None for what is not a large tensor of a plain type in a file."""
    import numpy as np
    from coremltools.proto import MIL_pb2

    if spec.WhichOneof("value") != "blobFileValue" or spec.type.WhichOneof("type") != "tensorType":
        return None
    types = {
        MIL_pb2.FLOAT32: np.float32,
        MIL_pb2.FLOAT16: np.float16,
        MIL_pb2.INT8: np.int8,
        MIL_pb2.UINT8: np.uint8,
    }
    dtype = types.get(spec.type.tensorType.dataType)
    shape = tuple(d.constant.size for d in spec.type.tensorType.dimensions)
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if dtype is None or size < _SMALL:
        return None
    path = folder / spec.blobFileValue.fileName.split("/")[-1]
    with path.open("rb") as file:
        file.seek(spec.blobFileValue.offset)
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    mark, _, stored, start = _HEADER.unpack(header)
    if mark != _MARK or stored != size or start + size > path.stat().st_size:
        return None  # damaged: coremltools says how
    return np.memmap(path, dtype, "c", start, shape)
