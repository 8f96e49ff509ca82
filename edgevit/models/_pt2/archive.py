"""Check a .pt2 archive whole, and write what may be loaded into a new one."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgevit.core.disk.archive import is_zip, plain_members
from edgevit.core.disk.documents import parse_json
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.models._pt2.grammar import Refused, show
from edgevit.models._pt2.payload import table
from edgevit.models._pt2.program import path as parameter_path
from edgevit.models._pt2.program import program

_SAVE: Final = "save it with torch.export.save, from a source that you trust"
_LARGEST_JSON: Final = 256 << 20
_PROGRAM: Final = "models/model.json"
_SAMPLES: Final = "data/sample_inputs/model.pt"
_VALUES: Final = {"archive_format": (b"pt2",), "archive_version": (b"0",), "byteorder": (b"little",)}
_UNREAD: Final = (".data/version", ".data/serialization_id", ".format_version", ".storage_alignment")
_TENSORS: Final = {"weights": "weight_", "constants": "tensor_"}
_KNOWN: Final = re.compile(r"data/(weights/weight_|constants/tensor_)[0-9]{1,9}|extra/.+")
# Why some names that are not known are dangerous; the rest is only unknown.
_REASONS: Final = (
    (r".*aotinductor.*|.*\.(so|dll|dylib|pyd|cubin|o)", "is compiled code, and no compiled code is loaded"),
    (r".*(custom_obj|opaque_obj).*", "is a pickled object, and only tensors are read"),
    (r"models/.*", "is a second program; save one model per file"),
)
# PyTorch 2.7 and older: one flat archive.
_OLD: Final = {
    "serialized_exported_program.json": _PROGRAM,
    "serialized_example_inputs.pt": _SAMPLES,
    "serialized_state_dict.pt": "data/weights/model.pt",
    "serialized_constants.pt": "data/constants/model.pt",
}


def clean_copy(path: Path, folder: Path) -> Path:
    """Write a new archive into `folder` with what was checked of the one at `path`, and nothing else.

    Returns:
        The new archive, for `torch.export.load`.

    Raises:
        InputError: missing, no such archive, damaged, or holding anything that PyTorch's writer doesn't write.
        UnsupportedError: an operator, a container or a kind of tensor that edgevit does not read.
        OSError: no space for the copy.
    """
    regular_file(path, "the model")
    if not is_zip(path):
        raise InputError(f"{path} is not a .pt2 file", "write it with torch.export.save")
    members = plain_members(path)
    copy = folder / "model.pt2"
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
            _Copier(source, target, _named(members)).copy()
    except Refused as refused:
        raise InputError(f"{path} is refused: {refused}", _SAVE) from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{path} is not supported: {error.message}", error.hint) from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: the archive is damaged ({brief(error)})", _SAVE) from error
    return copy


def _named(members: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members by their names below the archive's one folder, if all are known."""
    if "version" in members and "serialized_exported_program.json" in members:
        return _old(members)
    folders = {name.partition("/")[0] for name in members}
    if len(folders) != 1:
        raise Refused(f"it has members in several folders: {', '.join(show(f) for f in sorted(folders)[:4])}")
    named = {name.partition("/")[2]: member for name, member in members.items()}
    legacy = {f"data/{kind}/model.pt" for kind in _TENSORS}
    tables = {f"data/{kind}/model_{kind}_config.json" for kind in _TENSORS}
    fixed = {_PROGRAM, _SAMPLES, *_VALUES, *_UNREAD, *legacy, *tables}
    for name in named:
        if name not in fixed and _KNOWN.fullmatch(name) is None:
            why = next((why for pattern, why in _REASONS if re.fullmatch(pattern, name)), None)
            raise Refused(f"its member {show(name)} {why or 'is none that torch.export.save writes'}")
    return named


def _old(members: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    for name in members:
        if name not in _OLD and name != "version" and not name.startswith("extra_files/"):
            raise Refused(f"its member {show(name)} is none that torch.export.save writes")
    return {new: members[old] for old, new in _OLD.items() if old in members}


class _Copier:
    """Reads members of `source` by their names, checks them, and writes `target`."""

    def __init__(
        self, source: zipfile.ZipFile, target: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]
    ) -> None:
        self._source, self._target, self._members = source, target, members

    def copy(self) -> None:
        """Everything that a program needs, in the order in which PyTorch writes it."""
        for name, values in _VALUES.items():
            if name in self._members and self._read(name).strip() not in values:
                raise Refused(f"its {name} is {show(self._read(name))}, not {values[0].decode()!r}")
        for kind, prefix in _TENSORS.items():
            self._tensors(kind, prefix)
        self._write(_PROGRAM, json.dumps(self._json(_PROGRAM, program)).encode())
        if _SAMPLES in self._members:
            self._plain_tensors(_SAMPLES)
        self._write(_SAMPLES, b"")  # PyTorch wants the member, and takes an empty one for none
        for name, values in _VALUES.items():
            self._write(name, values[0])
        self._write(".data/version", b"6\n")

    def _tensors(self, kind: str, prefix: str) -> None:
        folder, name = f"data/{kind}/", f"data/{kind}/model_{kind}_config.json"
        legacy = f"{folder}model.pt"
        if legacy in self._members:  # PyTorch 2.8 and older
            self._write(legacy, self._rewritten(legacy))
            return
        sizes = {
            member.removeprefix(folder): info.file_size
            for member, info in self._members.items()
            if member.startswith(folder)
        }
        found = self._json(name, lambda value: table(value, prefix, sizes))
        assert isinstance(found, dict)
        self._write(name, json.dumps(found).encode())
        for member in sorted({entry["path_name"] for entry in found["config"].values()}):
            self._copy_bytes(folder + member)

    def _rewritten(self, name: str) -> bytes:
        """A pickled dictionary of tensors, read as such and pickled anew."""
        import torch

        found = self._plain_tensors(name)
        if not isinstance(found, dict) or not all(
            type(t) in (torch.Tensor, torch.nn.Parameter) for t in found.values()
        ):
            raise Refused(f"{name} is no dictionary of tensors")
        for key in found:
            parameter_path(key)
        buffer = io.BytesIO()
        torch.save(found, buffer)
        return buffer.getvalue()

    def _plain_tensors(self, name: str) -> object:
        """What a pickle holds, if it is made of plain tensors and containers."""
        import torch

        content = self._read(name)
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as inner:
                packed = any(member.compress_type != zipfile.ZIP_STORED for member in inner.infolist())
            if packed:
                raise Refused(f"{name} is compressed")
        try:
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu") if content else {}
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
            wanted = re.search(r"GLOBAL `?([\w.]+)", str(error))
            what = f"it asks for {wanted[1]}" if wanted else type(error).__name__
            raise Refused(f"{name} is not made of plain tensors: {what}") from error

    def _json(self, name: str, rule: Callable[[object], object]) -> object:
        if name in self._members and self._members[name].file_size > _LARGEST_JSON:
            raise Refused(f"{name} is larger than {_LARGEST_JSON >> 20} MiB")
        value = parse_json(self._read(name), f"{self._source.filename} is refused: {name} is not readable")
        try:
            return rule(value)
        except Refused as refused:
            raise Refused(f"{name}: {refused}") from None

    def _read(self, name: str) -> bytes:
        if name not in self._members:
            raise Refused(f"it has no member {name}")
        return self._source.read(self._members[name])

    def _copy_bytes(self, name: str) -> None:
        info = zipfile.ZipInfo(f"model/{name}")
        info.file_size = self._members[name].file_size
        with self._source.open(self._members[name]) as content, self._target.open(info, "w") as copy:
            shutil.copyfileobj(content, copy, 1 << 20)

    def _write(self, name: str, content: bytes) -> None:
        self._target.writestr(zipfile.ZipInfo(f"model/{name}"), content)
