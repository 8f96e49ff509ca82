"""PNG files made by hand."""

from __future__ import annotations

import struct
import zlib


def png(width: int, height: int, bits: int, colours: int, rows: bytes) -> bytes:
    """Of `rows`, each with its filter byte in front; `colours` is 0 for grey, 2 for RGB (ISO/IEC 15948, 11.2.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
