"""A shared library for 64-bit ARM with nothing in it but what it asks of others: by the System V ABI, byte by byte."""

from __future__ import annotations

import struct


def library(*needs: str, of: str = "libc.so.6") -> bytes:
    """A library that asks `of` for these symbol versions, such as GLIBC_2.34."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (of, *needs))
    place = {name: names.index(b"\0" + name.encode() + b"\0") + 1 for name in (of, *needs)}
    entries = b"".join(
        struct.pack("<IHHII", 0, 0, 2, place[name], 16 if name != needs[-1] else 0) for name in needs
    )
    table = struct.pack("<HHIII", 1, len(needs), place[of], 16, 0) + entries
    strings_at = 64
    table_at = strings_at + len(names)
    sections_at = table_at + len(table)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 183, 1, 0, 0, sections_at, 0, 64, 56, 0, 64, 3, 1
    )
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (0, 3, 0, 0, strings_at, len(names), 0, 0, 1, 0),
        (0, 0x6FFFFFFE, 2, 0, table_at, len(table), 1, 1, 4, 0),
    ]
    return header + names + table + b"".join(struct.pack("<IIQQQQIIQQ", *fields) for fields in sections)
