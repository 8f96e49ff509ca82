"""Look at a zip archive before anything in it is unpacked."""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from edgevit.core.disk.reading import reading
from edgevit.core.errors import InputError

_SUSPICIOUS_BYTES = 2 << 30
_SUSPICIOUS_RATIO = 50
# The header before each member, and bits of its flags: APPNOTE.TXT of PKWARE, 4.3.7 and 4.4.4.
_HEADER: Final = struct.Struct("<4sHHHIIIIHH")
_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8
_PATCH: Final = 0x20
_STRONGLY_ENCRYPTED: Final = 0x40
_UTF8: Final = 0x800
_IN_EXTRA: Final = 0xFFFFFFFF


def is_zip(path: Path, content: BinaryIO | None = None) -> bool:
    """Whether `path`, or `content` in it, ends as a zip archive does.

    Raises:
        InputError: it says that it is a part of one in several files, where `zipfile` raises instead of answering.
    """
    with reading(path, "archive"):
        return zipfile.is_zipfile(path if content is None else content)


def check_zip(path: Path, stored_only: bool) -> None:
    """Refuse an archive that would unpack to an absurd size; does nothing if it isn't a zip archive.

    Args:
        path: an existing file.
        stored_only: allow no compression at all, as PyTorch writes its files; otherwise (.npz) more
            than 2 GiB that come out of a file 50 times smaller are refused.

    Raises:
        InputError: compressed or absurdly large members, or a directory that can't be read.
    """
    if not is_zip(path):
        return
    with reading(path, "archive"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    on_disk = path.stat().st_size
    unpacked = sum(member.file_size for member in members)
    if stored_only:
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed or unpacked > on_disk:
            named = packed[0] if packed else "overlapping members"
            raise InputError(
                f"{path}: a checkpoint must hold uncompressed members, this one does not ({named}); "
                f"it would unpack {on_disk} bytes to {unpacked}",
                "save it with torch.save or, better, as .safetensors",
            )
    elif unpacked > _SUSPICIOUS_BYTES and unpacked > _SUSPICIOUS_RATIO * on_disk:
        raise InputError(
            f"{path}: {on_disk} bytes would unpack to {unpacked}, which is absurd for image data",
            "save the images again, and look where this file is from",
        )


def plain_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name, provided that every reader of zip archives finds the same ones.

    A reader may go by the directory at the end, as Python does, or by the headers before the members,
    and take the first or the last of two equal names. So nothing may be twice or in two versions.

    Raises:
        InputError: damaged; a name that is twice (large and small letters are the same), absolute, leads
            upwards or holds control characters; a link, a folder, an encrypted or compressed member;
            members that overlap; a header that says something else than the directory.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    end = 0
    with reading(path, "archive"), zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in sorted(archive.infolist(), key=lambda m: m.header_offset):
            reason = _odd(member)
            same = unicodedata.normalize("NFC", member.filename).casefold()
            if reason is None and same in seen:
                reason = "is there twice"
            if reason is None:
                start, reason = _header(file, member)
                if reason is None and member.header_offset < end:
                    reason = "overlaps the member before it"
                end = start + member.compress_size
            if reason is None and end > archive.start_dir:
                reason = "overlaps the directory"
            if reason is not None:
                raise InputError(
                    f"{path} is refused: its member {ascii(member.filename)[:200]} {reason}",
                    "get the file from its source again; do not unpack this one",
                )
            seen.add(same)
            found[member.filename] = member
    return found


def _odd(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry of the directory."""
    name = member.filename
    parts = name.split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.orig_filename != name or not name.isprintable() or "\\" in name or ":" in name:
        return "has a name with characters that no file of this kind has"
    if "" in parts or "." in parts or ".." in parts:
        return "is no relative path of a file"
    if kind not in (0, stat.S_IFREG):
        return "is no plain file (a link, for example)"
    if member.flag_bits & (_ENCRYPTED | _STRONGLY_ENCRYPTED | _PATCH):
        return "is encrypted"
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        return "is compressed"
    return None


def _header(file: BinaryIO, member: zipfile.ZipInfo) -> tuple[int, str | None]:
    """Where the content of a member begins, and what its own header says differently than the directory."""
    file.seek(member.header_offset)
    header = file.read(_HEADER.size)
    signature, _, flags, method, _, _, packed, size, name_length, extra_length = _HEADER.unpack(header)
    name = file.read(name_length)
    expected = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8 else "cp437")
    later = flags & _SIZES_FOLLOW and (packed, size) == (0, 0)
    large = _IN_EXTRA in (packed, size)
    if signature != b"PK\x03\x04" or name != expected:
        return 0, "has another name in its own header"
    if method != member.compress_type or (flags ^ member.flag_bits) & ~_SIZES_FOLLOW:
        return 0, "is described differently in its own header"
    if not later and not large and (packed, size) != (member.compress_size, member.file_size):
        return 0, "has another size in its own header"
    return member.header_offset + _HEADER.size + name_length + extra_length, None
