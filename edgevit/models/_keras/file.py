"""A `.keras` file, looked at as the zip archive with JSON that it is, before Keras opens it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgevit.core.disk.archive import check_zip, is_zip
from edgevit.core.disk.documents import parse_json
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, UnsupportedError

_SAVE = "save the model with Keras 3: model.save('model.keras')"
_REBUILD = (
    "build the model from Keras' own layers and keras.ops, or load it yourself under KERAS_BACKEND=torch, where "
    "it is a PyTorch module, and pass it through python:FILE:FACTORY"
)
# Parts of Keras that are no parts of a model: they download, write, or switch safe mode off.
_TOOLS = re.compile(
    r"keras\.(src\.)?(applications|callbacks|config|datasets|distribution|export|legacy|preprocessing|saving|"
    r"trainers|utils)(\..*)?"
)
_CODE = ("__lambda__", "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def check_keras(path: Path) -> None:
    """Refuse what is no `.keras` file of Keras 3, and one that needs code which is not Keras' own.

    Raises:
        InputError: missing, of another format, or damaged.
        UnsupportedError: it holds a Lambda layer or a layer of somebody else.
    """
    for part in _parts(_config(path)):
        kind, module = part.get("class_name"), part.get("module")
        config = part.get("config")
        name = str(config.get("name", "")) if isinstance(config, dict) else ""
        where = f" (layer {name!r})" if name else ""
        if kind in _CODE:
            what = "a Lambda layer" if kind in ("__lambda__", "Lambda") else f"a {kind}"
            raise UnsupportedError(
                f"{path} holds {what}{where}, which is code in a file and is not run", _REBUILD
            )
        own = module is None or str(module) == "builtins" or str(module).split(".")[0] == "keras"
        own = own and _TOOLS.fullmatch(str(module)) is None
        registered = part.get("registered_name")
        if not own or (isinstance(registered, str) and ">" in registered):
            origin = f" of {module}" if module else ""
            raise UnsupportedError(
                f"{path} needs {registered or kind}{origin}{where}, which is not part of Keras", _REBUILD
            )


def _config(path: Path) -> object:
    regular_file(path, "the model", "keras: takes a file that model.save('model.keras') wrote")
    if not is_zip(path):
        what = "an older Keras format (HDF5)" if path.read_bytes()[:4] == b"\x89HDF" else "no .keras file"
        raise InputError(f"{path} is {what}", _SAVE)
    check_zip(path, stored_only=False)
    with reading(path, ".keras file", _SAVE), zipfile.ZipFile(path) as archive:
        held = set(archive.namelist())
        text = archive.read("config.json") if "config.json" in held else b"null"
    config = parse_json(text, f"{path} is damaged: config.json in it", _SAVE)
    if not isinstance(config, dict) or not held & {"model.weights.h5", "model.weights.npz"}:
        raise InputError(
            f"{path} is no .keras file: a zip archive, but without config.json and model.weights.h5", _SAVE
        )
    return config


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the configuration that names a class, from the outside in."""
    pending = [value]
    while pending:
        found = pending.pop(0)
        if isinstance(found, dict):
            if "class_name" in found:
                yield found
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)
