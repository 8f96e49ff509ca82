"""The files of a model in Hugging Face's format: of a folder, or of a repository of the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import is_folder, is_there
from edgevit.core.errors import InputError
from edgevit.models._checkpoint.shards import lora
from edgevit.models._hub import hub_file

# The path of a file by its name; None where the folder or repository does not have it.
Find = Callable[[str], "Path | None"]


def folder_files(folder: Path) -> Find:
    """Files of a folder that `save_pretrained` or timm's `save_for_hf` wrote.

    A folder `models--OWNER--NAME` of the local cache stands for the snapshot that its `refs/main` names.

    Raises:
        InputError: there is no such folder.
    """
    if not is_folder(folder):
        what = "is a file, not a folder" if is_there(folder) else "is not a folder"
        raise InputError(f"{folder} {what}", "give a folder with config.json")
    inside = _snapshot(folder)
    return lambda name: _file_in(inside, name)


def repository_files(repository: str) -> Find:
    """Files of OWNER/NAME or OWNER/NAME@REVISION: from the local cache, else downloaded.

    Raises by file:
        InputError: neither is possible; the message says that no folder of that name is here either.
    """
    name, _, revision = repository.partition("@")

    def find(file: str) -> Path | None:
        try:
            return hub_file(name, file, revision or None)
        except InputError as error:
            raise InputError(f"there is no folder {name} here, and {error.message}", error.hint) from error

    return find


def first_of(find: Find, names: Sequence[str]) -> Path | None:
    """The first of several files that may stand for each other; None if there is none of them.

    Without a network nobody knows what a repository has besides what is in the cache, and that is taken then.

    Raises:
        InputError: none is in the cache, and the hub cannot be asked.
    """
    unknown: InputError | None = None
    for name in names:
        try:
            path = find(name)
        except InputError as error:
            unknown = unknown or error
        else:
            if path is not None:
                return path
    if unknown is not None:
        raise unknown
    return None


def read_config(find: Find, source: str) -> dict[str, Any]:
    """The JSON object in config.json; `source` is what the message calls the folder or repository.

    Raises:
        InputError: it is missing, or no JSON object, or the files are an adapter's.
    """
    path = find("config.json")
    if path is None:
        adapter = find("adapter_config.json")
        if adapter is not None:
            raise lora(adapter.parent)
        raise InputError(
            f"{source} holds no config.json",
            "give a folder or repository that transformers' save_pretrained or timm's save_for_hf wrote",
        )
    return read_json(path, "the file")


def _snapshot(folder: Path) -> Path:
    main = folder / "refs" / "main"
    if not folder.name.startswith("models--") or not main.is_file():
        return folder
    return folder / "snapshots" / Path(main.read_text(errors="replace").strip()).name


def _file_in(folder: Path, name: str) -> Path | None:
    try:
        return folder / name if (folder / name).is_file() else None
    except (OSError, ValueError):  # a name that an index gives may be too long, or hold a zero byte
        return None
