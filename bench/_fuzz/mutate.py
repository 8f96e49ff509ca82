"""Change a valid file: bits, lengths and pieces of any file; members of zip archives; values of JSON; text."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

Mutation = Callable[[Random, bytes], bytes]

_SIZES: Final = (0, 1, -1, 2**7, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**62, 2**63 - 1)
_TEXTS: Final = (
    *("", "\x1b[2J", "\u202egnp", "\u200b", "\ud800", "\x00", "a" * 5000, "../../etc/passwd", "/etc/passwd"),
    *(
        "__import__('os').system('true')",
        "<script>",
        "`x`",
        "NaN",
        "1" * 6000,
        "\\",
        '"',
        "models/../..",
        "C:\\x",
    ),
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 10**400, 1e-320, 1e308, 0.5, [], {}, [[]], {"a": None}),
    *_TEXTS,
)


class Canary:
    """A pickle that makes the file `path` when it is loaded by whatever calls what it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def mutations(name: str, canary: Path) -> tuple[Mutation, ...]:
    """What is done to a file of this name; each is drawn equally often."""
    suffix = Path(name).suffix
    plain = (bits, bits, lengths, truncate, remove, repeat, insert, swap)
    if suffix == ".json":
        return (*plain, *(change_json,) * 8, text, text)
    if suffix in (".toml", ".txt"):
        return (*plain, *(text,) * 8)
    if suffix == ".safetensors":
        return (*plain, *(safetensors_header,) * 6)
    if suffix in (".pt2", ".pth", ".npz", ".keras"):

        def planted(random: Random, data: bytes) -> bytes:
            return plant(random, data, canary)

        return (*plain, *(members,) * 6, planted, planted)
    return (*plain, *(lengths,) * 3)


def mutate(random: Random, name: str, data: bytes, canary: Path) -> bytes:
    """The file with one to four changes."""
    known = mutations(name, canary)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(known)(random, data)
    return data


def bits(random: Random, data: bytes) -> bytes:
    """One to sixteen flipped bits."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if found:
            found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def lengths(random: Random, data: bytes) -> bytes:
    """A number of 1, 2, 4 or 8 bytes, often near the beginning, where lengths and offsets stand."""
    kind = random.choice("bhiq")
    width = struct.calcsize(f"<{kind}")
    value = random.choice((*_SIZES, len(data), 2 * len(data), random.randrange(1 << 16)))
    raw = (value & (1 << 8 * width) - 1).to_bytes(width, random.choice(("little", "big")))
    at = random.randrange(max(1, random.choice((64, 512, len(data)))))
    return data[:at] + raw + data[at + width :]


def truncate(random: Random, data: bytes) -> bytes:
    """Nothing, a few bytes, or some part of it."""
    return data[: random.choice((0, random.randrange(16), random.randrange(len(data) + 1)))]


def remove(random: Random, data: bytes) -> bytes:
    """Without a piece in the middle."""
    at, length = random.randrange(len(data) + 1), random.choice((1, 4, 64, 1024))
    return data[:at] + data[at + length :]


def repeat(random: Random, data: bytes) -> bytes:
    """A piece of it twice."""
    at, length = random.randrange(len(data) + 1), random.choice((1, 4, 64, 1024))
    return data[: at + length] + data[at:]


def insert(random: Random, data: bytes) -> bytes:
    """A few bytes that were not there."""
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice((1, 4, 16))) + data[at:]


def swap(random: Random, data: bytes) -> bytes:
    """A piece of it written over another."""
    length = random.choice((2, 8, 64, 512))
    source, at = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    piece = data[source : source + length]
    return data[:at] + piece + data[at + len(piece) :]


def text(random: Random, data: bytes) -> bytes:
    """A word that parsers stumble over, put in or in the place of a line."""
    word = random.choice(
        (
            *(t.encode(errors="surrogatepass") for t in _TEXTS),
            *(
                b"[" * 5000,
                b"{" * 5000,
                b"a." * 3000,
                b"=" * 9,
                b"\xff\xfe",
                b"\xef\xbb\xbf",
                b"\n\n",
                b"\r",
                b"#",
            ),
            *(
                b"[[",
                b"'''",
                b'"""',
                b"1979-05-27T07:32:00Z",
                b"0x" + b"f" * 5000,
                b"nan",
                b"[a]\n",
                b"= 1\n",
            ),
        )
    )
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    if random.random() < 0.5:
        lines[at] = word
    else:
        inside = random.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:inside] + word + lines[at][inside:]
    return b"\n".join(lines)


def change_json(random: Random, data: bytes) -> bytes:
    """Another value, a missing key, a key twice, or a deep nest at one place of the document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return bits(random, data)
    places = _places(document)
    if not places:
        return json.dumps(random.choice(_VALUES)).encode()
    holder, key = random.choice(places)
    kind = random.random()
    if kind < 0.55:
        holder[key] = random.choice(_VALUES)
    elif kind < 0.7:
        del holder[key]
    elif kind < 0.8 and isinstance(holder, dict):
        holder[random.choice(_TEXTS)] = holder.pop(key)
    elif kind < 0.9:
        other, name = random.choice(places)
        holder[key] = other[name]
    else:
        # What no writer writes is put in as text.
        holder[key] = "@@"
        raw = random.choice(
            ("[" * 20000, '{"a":' * 3000 + "1" + "}" * 3000, "1" * 6000, "NaN", "1e999", '{"a":1,"a":2}', "-")
        )
        return json.dumps(document, skipkeys=True).replace('"@@"', raw).encode()
    try:
        return json.dumps(document).encode()
    except ValueError:  # a value put into itself
        return bits(random, data)


def _places(document: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [document] if isinstance(document, dict | list) else []
    while waiting:
        value = waiting.pop()
        inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        for key, one in inner[:200]:
            found.append((value, key))
            if isinstance(one, dict | list):
                waiting.append(one)
    return found


def safetensors_header(random: Random, data: bytes) -> bytes:
    """The JSON in front changed, with its length put right."""
    if len(data) < 8:
        return data
    (size,) = struct.unpack("<Q", data[:8])
    header = change_json(random, data[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def members(random: Random, data: bytes) -> bytes:
    """The archive written anew, whole, with one member changed, missing, doubled, renamed or compressed."""
    held = _members(data)
    if not held:
        return bits(random, data)
    at = random.randrange(len(held))
    name, content = held[at]
    kind = random.randrange(8)
    compression = zipfile.ZIP_STORED
    if kind < 3:
        inner = (
            change_json
            if content[:1] in (b"{", b"[")
            else random.choice((bits, lengths, truncate, swap, insert))
        )
        held[at] = (name, inner(random, content))
    elif kind == 3:
        del held[at]
    elif kind == 4:
        held.insert(random.randrange(len(held) + 1), (name, random.choice(held)[1]))
    elif kind == 5:
        ways = (name.upper(), f"../{name}", f"/{name}", name.replace("/", "\\"), name + ".json", name[1:], "")
        held[at] = (random.choice(ways), content)
    elif kind == 6:
        other = random.randrange(len(held))
        held[at], held[other] = (name, held[other][1]), (held[other][0], content)
    else:
        compression = zipfile.ZIP_DEFLATED
        held[at] = (name, bytes(random.choice((1 << 10, 1 << 24))))
    return _archive(held, compression)


def plant(random: Random, data: bytes, canary: Path) -> bytes:
    """A member, new or old, that is a pickle which runs code where it is loaded."""
    held = _members(data)
    evil = pickle.dumps(Canary(canary), protocol=random.choice((0, 2, 4)))
    if random.random() < 0.5:
        evil = pickle.dumps({"a": Canary(canary)}, protocol=2)
    if not held:
        return evil
    folder = held[0][0].partition("/")[0]
    names = (
        "data.pkl",
        "data/weights/model.pt",
        "data/constants/opaque_obj_0",
        "data/sample_inputs/model.pt",
    )
    if random.random() < 0.5:
        at = random.randrange(len(held))
        held[at] = (held[at][0], evil)
    else:
        held.insert(random.randrange(len(held) + 1), (f"{folder}/{random.choice(names)}", evil))
    return _archive(held, zipfile.ZIP_STORED)


def _members(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(entry.filename, archive.read(entry)) for entry in archive.infolist()[:200]]
    except Exception:  # noqa: BLE001  an earlier change has spoiled it
        return []


def _archive(held: list[tuple[str, bytes]], compression: int) -> bytes:
    import warnings

    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", compression) as archive:
        warnings.simplefilter("ignore")  # names that stand twice
        for name, content in held:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return made.getvalue()
