"""Read weights into tensors by name, without ever running what a file holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edgevit.core.disk.file_kind import recognise
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import existing, is_folder, is_there
from edgevit.core.errors import InputError
from edgevit.models._checkpoint.parts import Contents, Part, contents
from edgevit.models._checkpoint.shards import parts_of, weights_in
from edgevit.models._checkpoint.unpickle import bare_pickle, unpickle

_HINT: Final = (
    "--weights takes a PyTorch checkpoint, .safetensors, an index of several files, their folder, or .npz"
)
_SHARD: Final = re.compile(r"-(\d{5})-of-(\d{5})\.(safetensors|bin)$")


def read_contents(path: Path) -> Contents:
    """The tensors of a checkpoint, a safetensors file, an index with its files, or a folder; on the CPU.

    A file is known by its content. PyTorch's are read with `weights_only=True` and in no other way.

    Raises:
        InputError: missing, damaged, without weights (the message says what it is), or a pickle that wants to run
            code.
    """
    existing(path, "weights file", _HINT)
    if is_folder(path):
        return read_contents(weights_in(path))
    reader = _reader(path)
    if reader == "index":
        return read_shards(path, parts_of(path))
    shard = _SHARD.search(path.name)
    index = path.with_name(_SHARD.sub(r".\3.index.json", path.name))
    if shard is not None and int(shard[2]) > 1 and is_there(index):
        raise InputError(
            f"{path} is one of {int(shard[2])} files of one model", f"give {index.name} or its folder"
        )
    return _one(path, reader)


def read_shards(index: Path, files: tuple[Path, ...]) -> Contents:
    """The tensors of several files together, as an index names them.

    Raises:
        InputError: as `read_contents`.
    """
    state = {}
    for file in files:
        for part in _one(file, _reader(file)).parts:
            if not part.key:
                state.update(part.state)
    if not state:
        raise InputError(
            f"the files that {index} names hold no tensors by name", "save model.state_dict() as .safetensors"
        )
    return Contents((Part("", state),))


def is_jax(path: Path) -> bool:
    """Whether it is an archive of NumPy arrays, such as Google's JAX ViTs are.

    Raises:
        InputError: missing, no regular file or folder, or an archive whose directory is damaged.
    """
    existing(path, "weights file", _HINT)
    return not is_folder(path) and recognise(path).reader == "npz"


def _reader(path: Path) -> str:
    kind = recognise(path)
    if kind.reader is None:
        raise InputError(f"{path} is {kind.name}", kind.way_out)
    return kind.reader


def _one(path: Path, reader: str) -> Contents:
    if reader == "safetensors":
        from safetensors.torch import load_file

        with reading(path, "safetensors file"):
            return Contents((Part("", load_file(path)),))
    if reader == "torch":
        return contents(unpickle(path))
    if reader == "pickle":
        raise bare_pickle(path)
    raise InputError(f"{path} is not a readable weights file among others", _HINT)
