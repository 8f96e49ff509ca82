"""Which C library a compiled Python package needs: its libraries say so, whatever the wheel's tag promises.

The aarch64 wheel of ai-edge-litert 2.3.0 is tagged manylinux_2_27, and its libraries ask for symbols of glibc 2.34: pip
installs it on an older board, where it cannot be imported.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

Version = tuple[int, ...]

# System V ABI, and the "Linux Standard Base Core", chapter "Symbol Versioning": section type and the two records.
_VERNEED_SECTION = 0x6FFFFFFE
_VERNEED = struct.Struct("<HHIII")  # version, number of its entries, file, first entry, next record
_VERNAUX = struct.Struct("<IHHII")  # hash, flags, index, name, next entry


def glibc_needed(folder: Path) -> tuple[Version, str]:
    """The newest glibc that libraries below a folder ask for, and the file that does; `((), "")` if none does."""
    found: tuple[Version, str] = ((), "")
    for path in sorted(folder.rglob("*.so*")):
        for need in version_needs(path.read_bytes()):
            if match := re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", need):
                version = tuple(int(part) for part in match[1].split("."))
                if version > found[0]:
                    found = (version, path.name)
    return found


def version_needs(data: bytes) -> frozenset[str]:
    """Names of the symbol versions that a little-endian 64-bit ELF file asks of others, such as GLIBC_2.34.

    Empty for anything else: a Mac's library, a text file of the linker, half a file.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        return frozenset()
    try:
        return frozenset(_version_needs(data))
    except (struct.error, ValueError, IndexError):
        return frozenset()


def _version_needs(data: bytes) -> set[str]:
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + size * number) for number in range(count)]
    found: set[str] = set()
    for _, kind, _, _, start, _, strings, records, _, _ in sections:
        if kind != _VERNEED_SECTION:
            continue
        names = sections[strings][4]
        for _ in range(records):
            _, entries, _, first, following = _VERNEED.unpack_from(data, start)
            entry = start + first
            for _ in range(entries):
                _, _, _, name, step = _VERNAUX.unpack_from(data, entry)
                end = data.index(b"\0", names + name)
                found.add(data[names + name : end].decode())
                if not step:
                    break
                entry += step
            if not following:
                break
            start += following
    return found
