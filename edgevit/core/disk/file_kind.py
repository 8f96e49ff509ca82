"""What a file is, seen from its first bytes and the names in its archive, whatever its own name ends in.

Checkpoints are called `.pth`, `.pth.tar`, `.ckpt`, `.bin` or anything else, and so is what is brought in their place.
So a file is known by its content, and one that holds no weights is told by what it is, with the way out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgevit.core.disk.archive import is_zip
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file

Reader = Literal["safetensors", "torch", "pickle", "npz", "index"]

_HEAD: Final = 4096
# The number that torch.save wrote before PyTorch 1.6, as pickle spells it: 0x1950a86a20f9469cfc6c.
_LEGACY: Final = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_TABLE_END: Final = bytes.fromhex("57fb808b247547db")  # of LevelDB, in which TensorFlow keeps its index


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Attributes:
        name: with its article, such as "a TorchScript program".
        reader: what reads the weights in it; None where it holds none that can be taken.
        way_out: what to do with it instead.
    """

    name: str
    reader: Reader | None = None
    way_out: str = ""


_DOWNLOAD: Final = "download it again; a page of a hub has a button of its own for the file itself"
_AS_MODEL: Final = "it holds the model with its weights: give it as MODEL, without --weights"
_CONVERTED: Final = (
    "it is a converted file: give the PyTorch checkpoint that it was made from; "
    "edgevit inspect and edgevit run take the file as it is"
)
_UNPACK: Final = "unpack it, and give the file in it"
_TENSORFLOW: Final = "load it in TensorFlow with Keras, model.save('model.keras'), and give that as MODEL"

_SAFETENSORS: Final = FileKind("a safetensors file", "safetensors")
_TORCH: Final = FileKind("a PyTorch checkpoint", "torch")
_NPZ: Final = FileKind("an archive of NumPy arrays", "npz")
_INDEX: Final = FileKind("an index of several files", "index")

_BY_START: Final[tuple[tuple[bytes, FileKind], ...]] = (
    (
        b"version https://git-lfs",
        FileKind(
            "a pointer of Git LFS, not the file that it stands for", None, "fetch the file: git lfs pull"
        ),
    ),
    (b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file, as Keras and TensorFlow write them", None, _TENSORFLOW)),
    (
        b"GGUF",
        FileKind("a GGUF file, whose weights are quantized already", None, "give the float checkpoint of it"),
    ),
    (b"\x1f\x8b", FileKind("compressed with gzip", None, _UNPACK)),
    (b"BZh", FileKind("compressed with bzip2", None, _UNPACK)),
    (b"\xfd7zXZ\0", FileKind("compressed with xz", None, _UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileKind("compressed with Zstandard", None, _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", None, _UNPACK)),
    (b"Rar!", FileKind("a RAR archive", None, _UNPACK)),
    (b"\x93NUMPY", FileKind("one NumPy array", None, "save the state_dict of the model")),
)
_BY_FOURTH: Final[tuple[tuple[bytes, FileKind], ...]] = (
    (b"TFL3", FileKind("a TFLite file", None, _CONVERTED)),
    (b"ET1", FileKind("an ExecuTorch program", None, "give the PyTorch checkpoint that it was made from")),
)


def recognise(path: Path) -> FileKind:
    """What the file at `path` is; nothing in it is unpacked or executed.

    Raises:
        InputError: missing, no regular file, or an archive whose directory is damaged.
    """
    regular_file(path, "weights file")
    with reading(path, "file"), path.open("rb") as file:
        head = file.read(_HEAD)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_TABLE_END)))
        end = file.read()
    if not head:
        return _unknown("it is empty")
    for start, kind in _BY_START:
        if head.startswith(start):
            return kind
    for mark, kind in _BY_FOURTH:
        if head[4:].startswith(mark):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[257:262] == b"ustar":
        return FileKind("a tar archive", None, _UNPACK)
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        if _LEGACY in head[:32]:
            return _TORCH
        return FileKind("a pickle that torch.save did not write", "pickle")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return _SAFETENSORS
    if end == _TABLE_END or re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return FileKind("a part of a TensorFlow checkpoint", None, _TENSORFLOW)
    return (
        _text(head)
        or _protobuf(head, path.suffix)
        or _msgpack(head)
        or _unknown("its content is of no known kind")
    )


def _unknown(why: str) -> FileKind:
    return FileKind(
        f"not a readable weights file: {why}", None, "give a PyTorch checkpoint or a .safetensors file"
    )


def _archive(path: Path) -> FileKind:
    if not is_zip(path):
        return FileKind(
            "not a readable archive: its beginning is there, its end is not",
            None,
            "copy or download it again, whole",
        )
    with reading(path, "archive"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return _of_members(names)


def _of_members(names: Sequence[str]) -> FileKind:
    """Of a zip archive with these members."""

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    if has(r"(^|/)(models/[^/]+\.json|serialized_exported_program\.(json|pt))$"):
        return FileKind("a program of torch.export (.pt2)", None, _AS_MODEL)
    if has(r"(^|/)data/aotinductor/"):
        return FileKind(
            "a compiled package of AOTInductor",
            None,
            "give the checkpoint, or the program of torch.export.save",
        )
    if has(r"(^|/)code/.+\.py$") or (has(r"(^|/)constants\.pkl$") and has(r"(^|/)data\.pkl$")):
        return FileKind(
            "a TorchScript program",
            None,
            "take the weights out of it: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
        )
    if has(r"(^|/)\.data/extern_modules$"):
        return FileKind(
            "a torch.package", None, "load it where it was made, and torch.save(model.state_dict(), FILE)"
        )
    if has(r"(^|/)data\.pkl$"):
        return _TORCH
    if has(r"^config\.json$") and has(r"^model\.weights\.(h5|npz)$"):
        return FileKind("a Keras model (.keras)", None, _AS_MODEL)
    if has(r"(^|/)com\.apple\.CoreML/"):
        return FileKind("a packed .mlpackage, which is Core ML", None, _CONVERTED)
    if names and all(name.endswith(".npy") for name in names):
        return _NPZ
    first = f", {names[0][:80]!r} among them" if names else ""
    return FileKind(
        f"a zip archive of {len(names)} files{first}, and none of them is a checkpoint's", None, _UNPACK
    )


def _text(head: bytes) -> FileKind | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return FileKind("an HTML page, not the file that it speaks of", None, _DOWNLOAD)
    if start.startswith(b"<?xml"):
        return FileKind(
            "an XML document, such as the answer of a server that refuses a download", None, _DOWNLOAD
        )
    if start.startswith(b"{"):
        return _INDEX
    try:
        text = head.decode("ascii")
    except UnicodeDecodeError:
        return None
    if not text.isprintable() and any(ord(char) < 32 and char not in "\t\n\r\f" for char in text):
        return None
    return _unknown("it is text")


def _protobuf(head: bytes, suffix: str) -> FileKind | None:
    """ONNX, Core ML and TensorFlow begin with the version of their format, the field 1 of a message."""
    if suffix == ".pb":
        return FileKind("a graph of TensorFlow", None, _TENSORFLOW)
    if head[:1] != b"\x08" or len(head) < 6 or head[1] > 100:
        return None
    if (
        head[2] == 0x12
    ):  # ONNX: the name of the producer; Core ML: the description, which begins with an input
        inner = head[4 : 4 + head[3]] if head[3] < 128 else b""
        if inner and inner.isascii() and inner.decode("ascii").isprintable():
            return FileKind("an ONNX file", None, _CONVERTED)
        if b"\n" in head[4:6]:
            return FileKind("a Core ML file", None, _CONVERTED)
    if head[2] in (0x1A, 0x3A, 0x42):  # the producer's version, the graph, the operator sets
        return FileKind("an ONNX file", None, _CONVERTED)
    return None


def _msgpack(head: bytes) -> FileKind | None:
    """Flax writes a map, whose first key is a short text."""
    if 0x81 <= head[0] <= 0x8F and 0xA1 <= head[1] <= 0xBF and head[2 : 2 + (head[1] & 31)].isalnum():
        return FileKind(
            "a checkpoint of Flax (msgpack)", None, "load it in Flax, and save it as .safetensors"
        )
    return None
