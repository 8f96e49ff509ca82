"""What a model and its files answered for each image: `outcomes.json` of a bundle.

Accuracy says how many images are right; two sets of answers say which. So an earlier bundle can be compared image by
image, which needs far fewer images than two percentages. A column holds one value for each image, in the order of
`names`: little-endian numbers, or bits (first image in the highest bit), compressed by zlib and written in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.errors import InputError
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE_NAME: Final = "outcomes.json"
# More than any set that is judged here has; a file that names more would only fill the memory.
MOST_IMAGES: Final = 10_000_000
_NAME_BYTES: Final = 4096  # of one image's name at the most
_TEXT_BYTES: Final = 128 << 20  # of all names together
_LEVEL: Final = 9
_BITS: Final = 8
_ITEM_BYTES: Final = {"uint8": 1, "uint16": 2, "uint32": 4, "float16": 2}


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each image.

    Attributes:
        type: of a value; `text` is a JSON list of strings.
        data: its bytes, compressed by zlib, in base64.
    """

    type: Literal["bit", "uint8", "uint16", "uint32", "float16", "text"]
    data: str


def name_of(target: str, precision: str, device: str = "") -> str:
    """How checks and policies call a file, and the same file on a device."""
    return f"{target}/{precision}@{device}" if device else f"{target}/{precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the float model, or one file, answered for each image.

    Attributes:
        target, precision: of the file; both "" for the float model.
        device: where it was executed, "" for the computer that made it.
        answer: index of the class; None where the output decides nothing.
        correct: whether that is the image's label, bits; None without labels.
        top5: whether the label is among the five best, bits; None without labels.
        margin: by how much the best class leads the second one, in logits; None where nothing is decided.
        sqnr_db: of the first output on each image against the float model's, within -200 and 200 dB; None for the
            float model itself, and where classes say more.
    """

    target: str = ""
    precision: str = ""
    answer: Column | None = None
    correct: Column | None = None
    top5: Column | None = None
    margin: Column | None = None
    sqnr_db: Column | None = None
    device: str = ""

    @property
    def name(self) -> str:
        """Of the file, as checks and policies call it: `tflite/w8a8`, or `tflite/w8a8@ssh://board`."""
        return name_of(self.target, self.precision, self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadAnswers:
    """The same of an output besides the first that has class names.

    Attributes:
        name: of the output.
        labels: class index of each image; None where they have none for this output.
        classes: names of its classes in index order.
    """

    name: str
    labels: Column | None
    classes: Column
    reference: Answers
    artifacts: tuple[Answers, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """All answers of a run on one set of images.

    Attributes:
        path, digest, pictures: of the images, as in report.json's `samples.evaluate`.
        count: number of images.
        names: of the images, in the order of all columns.
        labels: class index of each image; None where they have none.
        classes: names of the classes in index order; None where the model has none.
        reference: answers of the float model.
        artifacts: answers of each file that was executed.
        heads: the answers of further outputs with class names.
    """

    path: str
    digest: str
    count: int
    names: Column
    labels: Column | None
    reference: Answers
    pictures: str = ""
    classes: Column | None = None
    heads: tuple[HeadAnswers, ...] = ()
    artifacts: tuple[Answers, ...] = ()
    schema_version: SchemaVersion = SCHEMA_VERSION


def pack_names(names: Sequence[str]) -> Column:
    """Names, of images or classes, as a column."""
    return Column("text", _packed(json.dumps(list(names), ensure_ascii=False).encode()))


def pack_bits(values: NDArray[np.bool_]) -> Column:
    """Truths, bool (N,)."""
    import numpy as np

    return Column("bit", _packed(np.packbits(values).tobytes()))


def pack_indices(values: NDArray[np.integer]) -> Column:
    """Class indices, (N,), in the smallest type that holds them all.

    Raises:
        ValueError: one is negative.
    """
    import numpy as np

    if len(values) and int(values.min()) < 0:
        raise ValueError("an index is not negative")
    most = int(values.max()) if len(values) else 0
    kind: Literal["uint8", "uint16", "uint32"] = (
        "uint8" if most < 2**8 else "uint16" if most < 2**16 else "uint32"
    )
    return Column(kind, _packed(np.asarray(values, np.dtype(kind).newbyteorder("<")).tobytes()))


def pack_floats(values: NDArray[np.floating]) -> Column:
    """Numbers, (N,), rounded to float16 and kept within its range."""
    import numpy as np

    limit = float(np.finfo(np.float16).max)
    return Column("float16", _packed(np.clip(values, -limit, limit).astype("<f2").tobytes()))


def unpack(column: Column, count: int, where: str) -> NDArray[np.generic]:
    """Bool, unsigned or float32 (count,).

    Raises:
        InputError: not `count` values of that type, or no compressed data at all; the message begins with `where`.
    """
    import numpy as np

    if column.type == "text":
        raise InputError(f"{where}: text where numbers are expected", _HINT)
    size = -(-count // _BITS) if column.type == "bit" else count * _ITEM_BYTES[column.type]
    data = _unpacked(column.data, size, where)
    if len(data) != size:
        raise InputError(f"{where}: {len(data)} bytes where {count} images take {size}", _HINT)
    if column.type == "bit":
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)
    values = np.frombuffer(data, np.dtype(column.type).newbyteorder("<"))
    if column.type == "float16":
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{where}: a value is not finite", _HINT)
    return values


def unpack_names(column: Column, count: int, where: str) -> tuple[str, ...]:
    """The names of `count` images, each another one.

    Raises:
        InputError: other than that, or no list of strings.
    """
    found = unpack_text(column, count, where)
    if len(found) != count:
        raise InputError(f"{where}: no list of {count} names", _HINT)
    if len(set(found)) != count:
        raise InputError(f"{where}: a name stands twice", _HINT)
    return found


def unpack_text(column: Column, most: int, where: str) -> tuple[str, ...]:
    """At most `most` strings.

    Raises:
        InputError: more of them, or no list of strings.
    """
    if column.type != "text":
        raise InputError(f"{where}: numbers where names are expected", _HINT)
    data = _unpacked(column.data, min(most * _NAME_BYTES + 2, _TEXT_BYTES), where)
    try:
        found = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where}: no list of names", _HINT) from error
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found) or len(found) > most:
        raise InputError(f"{where}: no list of at most {most} names", _HINT)
    return tuple(found)


_HINT: Final = "the file is damaged: make the bundle, or the baseline, again"


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()


def _unpacked(text: str, most: int, where: str) -> bytes:
    """At most `most` bytes come out, whatever the data claims."""
    try:
        packed = base64.b64decode(text, validate=True)
        reader = zlib.decompressobj()
        data = reader.decompress(packed, most + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(f"{where}: no compressed data", _HINT) from error
    if len(data) > most or not reader.eof or reader.unused_data:
        raise InputError(f"{where}: more or less data than its images take", _HINT)
    return data
