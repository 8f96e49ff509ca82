from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit.core.disk.archive import plain_members
from edgevit.core.errors import InputError

CONTENT = b"four" * 8


def archive(path: Path, *names: str, **options: object) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name in names:
            info = zipfile.ZipInfo(name)
            for key, value in options.items():
                setattr(info, key, value)
            target.writestr(info, CONTENT)
    return path


def patched(path: Path, *changes: tuple[bytes, bytes, int]) -> Path:
    """Replace the occurrence of that number (from the end if negative) of a text of equal length."""
    content = path.read_bytes()
    for old, new, number in changes:
        places = [i for i in range(len(content)) if content.startswith(old, i)]
        at = places[number]
        content = content[:at] + new + content[at + len(old) :]
    path.write_bytes(content)
    return path


def flagged(path: Path, bit: int) -> Path:
    """Set a bit of the flags of the first member in its header and in the directory."""
    content = bytearray(path.read_bytes())
    for start in (6, content.index(b"PK\x01\x02") + 8):
        struct.pack_into("<H", content, start, struct.unpack_from("<H", content, start)[0] | bit)
    path.write_bytes(bytes(content))
    return path


def overlapping(path: Path) -> Path:
    """Both entries of the directory point to the first member."""
    archive(path, "m/a", "m/b")
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, second + 42, 0)
    content[second + 46 : second + 49] = b"m/a"
    path.write_bytes(bytes(content))
    return path


def test_the_members_of_a_plain_archive_are_found_in_all_forms_that_writers_use(tmp_path: Path) -> None:
    assert list(plain_members(archive(tmp_path / "a.zip", "m/b", "m/a", "m/ä b"))) == ["m/b", "m/a", "m/ä b"]
    # sizes behind the content, as PyTorch writes them (an unseekable file makes zipfile do the same)
    with (tmp_path / "b.zip").open("wb") as file:
        file.seekable = lambda: False  # type: ignore[method-assign]
        with zipfile.ZipFile(file, "w") as target:
            target.writestr("m/a", CONTENT)
    assert plain_members(tmp_path / "b.zip")["m/a"].file_size == len(CONTENT)
    with (
        zipfile.ZipFile(tmp_path / "c.zip", "w") as target,
        target.open("m/a", "w", force_zip64=True) as member,
    ):
        member.write(CONTENT)
    assert list(plain_members(tmp_path / "c.zip")) == ["m/a"]


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "twice": (lambda p: archive(p, "m/a", "m/a"), "is there twice"),
    "only another case": (lambda p: archive(p, "m/model.json", "m/Model.JSON"), "is there twice"),
    "only another form of a letter": (lambda p: archive(p, "m/\u00e4", "m/a\u0308"), "is there twice"),
    "absolute": (lambda p: archive(p, "/etc/passwd"), "no relative path"),
    "upwards": (lambda p: archive(p, "m/../../x"), "no relative path"),
    "folder": (lambda p: archive(p, "m/"), "no relative path"),
    "drive": (lambda p: archive(p, "C:x"), "has a name with characters"),
    "backslash": (lambda p: archive(p, "m\\x"), "has a name with characters"),
    "escape": (lambda p: archive(p, "m/\x1b[2J"), r"'m/\\x1b\[2J' has a name with characters"),
    "link": (lambda p: archive(p, "m/a", external_attr=(stat.S_IFLNK | 0o777) << 16), "no plain file"),
    "compressed": (lambda p: archive(p, "m/a", compress_type=zipfile.ZIP_DEFLATED), "is compressed"),
    "encrypted": (lambda p: flagged(archive(p, "m/a"), 0x1), "is encrypted"),
    "other name in the header": (lambda p: patched(archive(p, "m/a"), (b"m/a", b"m/b", 0)), "another name in its own"),
    "other name in the directory": (lambda p: patched(archive(p, "m/a"), (b"m/a", b"m/b", -1)), "another name in its"),
    "other size in the header": (
        lambda p: patched(archive(p, "m/a"), (struct.pack("<II", 32, 32), struct.pack("<II", 16, 16), 0)),
        "another size in its own header",
    ),
    "larger than the file": (
        lambda p: patched(archive(p, "m/a"), *((struct.pack("<II", 32, 32), struct.pack("<II", 99, 99), 0),) * 2),
        "overlaps the directory",
    ),
    "overlapping": (overlapping, "is there twice|overlaps"),
    "cut": (lambda p: (p.write_bytes(archive(p, "m/a").read_bytes()[:-30]), p)[1], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_two_readers_could_read_differently_is_refused(name: str, tmp_path: Path) -> None:
    build, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence):
        plain_members(build(tmp_path / "bad.zip"))
