"""An artifact as a whole: a file or a folder, and the weights that some formats keep in a file beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgevit.core.disk.whole_files import sha256_of, size_of


def weights_beside(path: Path) -> Path:
    """Where the weights of a file stand that do not fit into it: `model.onnx.data` beside `model.onnx`."""
    return path.with_name(path.name + ".data")


def artifact_size(path: Path) -> int:
    """Bytes of the artifact with everything that belongs to it.

    Raises:
        InputError: it does not exist.
    """
    beside = weights_beside(path)
    return size_of(path) + (size_of(beside) if beside.is_file() else 0)


def artifact_sha256(path: Path) -> str:
    """Digest of the artifact: of the file or folder, or of the digests of both files.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    beside = weights_beside(path)
    own = sha256_of(path)
    if not beside.is_file():
        return own
    return hashlib.sha256(f"{own}\0{sha256_of(beside)}".encode()).hexdigest()
