"""What shipped: all that the gate remembers of a bundle, small enough to be committed beside the code.

A baseline file is JSON whose head a person can read in a diff, one figure a line, sorted; what is long stands packed at
its end. The answers of a file are stored as their difference from the float model's, and so are its right and wrong
images: files that agree on 97 % of the images then cost a few hundred bytes each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.decibels import LIMIT_DB
from edgevit.core.disk.documents import read_json
from edgevit.core.errors import InputError
from edgevit.core.results.fingerprint import Fingerprint
from edgevit.core.results.outcomes import (
    MOST_IMAGES,
    Answers,
    Column,
    name_of,
    pack_bits,
    pack_floats,
    pack_indices,
    unpack,
)
from edgevit.core.results.report import Ratio, Verdict
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND: Final = "edgevit gate baseline"
AGAIN: Final = "make it again from a bundle that you trust: edgevit gate BUNDLE --save-baseline FILE"
_MOST: Final = 1e15  # of any size, time or ratio
_STEP_DB: Final = 0.5  # a per-image SQNR is remembered to half a decibel


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineModel:
    """The float model: its digest tells a rebuild from a retraining."""

    name: str
    source: str
    weights_sha256: str
    top1: float | None
    parameters: int
    macs: int
    output: str
    preprocess: Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineImages:
    """The evaluation images.

    Attributes:
        pictures: digest of their names and bytes.
        by_index, by_name: digests of the labels, as indices and as names of classes; one of them is the same where
            the classes were only renamed or only put in another order. Both "" without labels.
        names: digest of the names of the images that were read, in their order: unreadable ones may be left out.
    """

    path: str
    count: int
    pictures: str
    labelled: bool
    by_index: str
    by_name: str
    names: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedLatency:
    """What a file took when the bundle was made.

    Attributes:
        device: what it was timed on; times and memory of another device are never compared.
        peak_rss_bytes: most memory that a process held resident which executes the file alone; None if not measured.
    """

    p50_ms: float
    ratio_to_fp32: Ratio | None
    device: Fingerprint
    peak_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFile:
    """One file: see `ArtifactReport` for what the figures are; `in_float` counts the sites that stayed in float."""

    target: str
    precision: str
    verdict: Verdict
    executed_by: str | None
    size_bytes: int | None
    sha256: str | None
    top1: float | None
    agreement: float | None
    sqnr_db: float | None
    integer_mac_fraction: float | None
    in_float: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    requires: tuple[str, ...]
    latency: RememberedLatency | None
    device: str = ""

    @property
    def name(self) -> str:
        """As checks and policies call it: `tflite/w8a8`, or `tflite/w8a8@ssh://board`."""
        return name_of(self.target, self.precision, self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedHead:
    """Answers of an output besides the first; `by_index` and `by_name` as those of the images."""

    name: str
    by_index: str
    by_name: str
    classes: Column
    reference: Answers
    files: tuple[Answers, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The long part.

    Attributes:
        classes: names in index order; None where the model has none.
        in_float: file -> names of the sites that stayed in float.
        reference: answers of the float model.
        files: answers of the files; `answer`, `correct` and `top5` as differences from those of the float model.
        heads: the same of further outputs with class names.
    """

    classes: Column | None
    in_float: Mapping[str, Column]
    reference: Answers
    files: tuple[Answers, ...]
    heads: tuple[PackedHead, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Everything; `files` sorted by name."""

    kind: Literal["edgevit gate baseline"] = KIND
    schema_version: SchemaVersion = SCHEMA_VERSION
    created_by: str
    model: BaselineModel
    images: BaselineImages
    files: tuple[BaselineFile, ...]
    packed: Packed


def to_text(baseline: Baseline) -> str:
    """The file; the same baseline gives the same bytes."""
    return json.dumps(to_plain(baseline), indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Baseline:
    """Read what `to_text` gave.

    Raises:
        InputError: missing, damaged, or of another version.
    """
    data = read_json(path, "the baseline", AGAIN)
    if data.get("kind") != KIND:
        raise InputError(
            f"{path} is JSON, but no baseline", "give a bundle, or the file of edgevit gate --save-baseline"
        )
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"the baseline {path} has schema_version {str(version)[:40]}, this edgevit reads {SCHEMA_VERSION}",
            AGAIN,
        )
    found = from_plain(Baseline, data, f"the baseline {path}")
    if not 1 <= found.images.count <= MOST_IMAGES:
        raise InputError(f"the baseline {path} is of {found.images.count} images", AGAIN)
    check_figures(found, f"the baseline {path}", AGAIN)
    names = [file.name for file in found.files]
    lists = [names, [head.name for head in found.packed.heads]]
    for files in (found.packed.files, *(head.files for head in found.packed.heads)):
        lists.append([answers.name for answers in files])
    for each in lists:
        twice = [name for name in each if each.count(name) > 1]
        if twice:
            raise InputError(f"the baseline {path} has {twice[0]} twice", AGAIN)
    strange = sorted({*found.packed.in_float, *(name for each in lists[2:] for name in each)} - set(names))
    if strange:
        raise InputError(
            f"the baseline {path} has answers of {strange[0]}, a file that it does not list", AGAIN
        )
    return found


def check_figures(baseline: Baseline, where: str, hint: str) -> None:
    """Whether each figure is one that can be.

    Raises:
        InputError: a share beyond 100 %, a negative size, a ratio of 0, ...
    """
    model = baseline.model
    wrong = [f"{what} {value}" for what, value in (("top1", model.top1),) if not _within(value, 0, 100)]
    for file in baseline.files:
        latency = file.latency
        ratio = None if latency is None else latency.ratio_to_fp32
        times = (
            ()
            if latency is None
            else (latency.p50_ms, *(() if ratio is None else (ratio.value, *ratio.ci95)))
        )
        figures = (
            ("top1", file.top1, 0.0, 100.0),
            ("agreement", file.agreement, 0.0, 100.0),
            ("sqnr_db", file.sqnr_db, -LIMIT_DB, LIMIT_DB),
            ("integer_mac_fraction", file.integer_mac_fraction, 0.0, _MOST),
            ("size_bytes", file.size_bytes, 0.0, _MOST),
            *(("latency", time, 1 / _MOST, _MOST) for time in times),
        )
        wrong += [
            f"{file.name}: {what} {value}" for what, value, *ends in figures if not _within(value, *ends)
        ]
        if ratio is not None and ratio.ci95[0] > ratio.ci95[1]:
            wrong.append(f"{file.name}: latency {ratio.ci95}")
    if wrong:
        raise InputError(f"{where}: {wrong[0]} is no figure that was measured", hint)


def _within(value: float | None, low: float, high: float) -> bool:
    return value is None or low <= value <= high


def pack_small(answers: Answers, reference: Answers, count: int) -> Answers:
    """Answers of a file without margins, each column as its difference from the float model's."""

    def bits(own: Column | None, other: Column | None) -> Column | None:
        if own is None or other is None:
            return own
        return pack_bits(unpack(own, count, "") != unpack(other, count, ""))

    answer = answers.answer
    if answer is not None and reference.answer is not None:
        answer = pack_indices(unpack(answer, count, "") ^ unpack(reference.answer, count, ""))  # type: ignore[operator]
    small = replace(
        answers,
        answer=answer,
        correct=bits(answers.correct, reference.correct),
        top5=bits(answers.top5, reference.top5),
        margin=None,
    )
    if answers.sqnr_db is None:
        return small
    coarse = (unpack(answers.sqnr_db, count, "") / _STEP_DB).round() * _STEP_DB  # type: ignore[operator]
    return replace(small, sqnr_db=pack_floats(coarse))


@dataclass(frozen=True, slots=True)
class Decoded:
    """Answers as arrays, (N,).

    Attributes:
        answer: index of the class, int64; None where nothing is decided.
        correct, top5: bool; None without labels.
        sqnr_db: float32; None where classes say more.
    """

    answer: NDArray[np.int64] | None = None
    correct: NDArray[np.bool_] | None = None
    top5: NDArray[np.bool_] | None = None
    sqnr_db: NDArray[np.float32] | None = None


def decode(answers: Answers, count: int, where: str, reference: Decoded | None = None) -> Decoded:
    """The arrays of packed answers.

    Args:
        where: what messages call them.
        reference: what differences are from; None for answers that are stored as they are.

    Raises:
        InputError: not `count` values of the right type.
    """
    import numpy as np

    def column(name: Literal["answer", "correct", "top5", "sqnr_db"]) -> NDArray[np.generic] | None:
        packed: Column | None = getattr(answers, name)
        wanted = {"answer": ("uint8", "uint16", "uint32"), "sqnr_db": ("float16",)}.get(name, ("bit",))
        if packed is None:
            return None
        if packed.type not in wanted:
            raise InputError(f"{where}: {name} holds {packed.type}", AGAIN)
        found = unpack(packed, count, f"{where}: {name}")
        base = None if reference is None or name == "sqnr_db" else getattr(reference, name)
        if name == "answer":
            found = found.astype(np.int64)
        return found if base is None else found ^ base

    return Decoded(column("answer"), column("correct"), column("top5"), column("sqnr_db"))  # type: ignore[arg-type]


def digest_of(values: Sequence[object]) -> str:
    """sha256 of a list, such as the labels of all images."""
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()
