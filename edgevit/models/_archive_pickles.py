"""Look into a .pt2 file for pickles before PyTorch opens it: some of them it would simply run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path, PurePosixPath

from edgevit.core.archive import check_zip
from edgevit.core.errors import InputError
from edgevit.core.regular import regular_file

_OBJECTS = ("custom_obj", "opaque_obj")


def check_pt2(path: Path) -> None:
    """Refuse a .pt2 archive unless all its pickles hold nothing but plain tensors.

    `torch.export.load` reads sample inputs, old-style weights and tensors marked `use_pickle` with
    `weights_only=False` where it thinks it must.

    Raises:
        InputError: missing, not an archive, or with a pickle that wants more than tensors.
    """
    import torch

    regular_file(path, "the model")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a .pt2 file", "write it with torch.export.save")
    check_zip(path, stored_only=True)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        marked = _marked(archive, names)
        for name in names:
            if any(word in PurePosixPath(name).name for word in _OBJECTS):
                raise InputError(f"{path} is refused: {name} is a pickled object, and only tensors are read")
            if not name.endswith((".pt", ".pkl", ".pickle")) and PurePosixPath(name).name not in marked:
                continue
            content = archive.read(name)
            try:
                if content:
                    torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
                reason = str(error).strip().splitlines()[0][:200]
                raise InputError(
                    f"{path} is refused: {name} in it is not made of plain tensors: {reason}"
                ) from error


def _marked(archive: zipfile.ZipFile, names: list[str]) -> set[str]:
    """File names of tensors that the archive's own tables mark as pickled."""
    found: set[str] = set()
    for name in names:
        if name.endswith("_config.json"):
            try:
                entries = json.loads(archive.read(name)).get("config", {}).values()
                found |= {str(entry["path_name"]) for entry in entries if entry.get("use_pickle")}
            except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
                raise InputError(f"the table {name} of the .pt2 file is malformed: {error}") from error
    return found
