"""Which file is it, who executes it here, and what was it meant to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevit.core import metadata_keys
from edgevit.core.disk.regular import existing, is_unicode
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.plugins import Runtime
from edgevit.core.precisions import Precision
from edgevit.core.runner import Contents, IntegerMacs
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES, TARGETS


@dataclass(frozen=True, slots=True)
class FoundArtifact:
    """One converted file: its target, and its precision where the name of its folder in a bundle is one."""

    path: Path
    target: str
    precision: Precision | None


def find_artifacts(path: Path) -> tuple[FoundArtifact, ...]:
    """The file itself, or every TARGET/PRECISION/model.SUFFIX of a bundle.

    Raises:
        InputError: nothing is there, or nothing that a target writes.
    """
    existing(path, "artifact", "give a bundle, or one .onnx, .tflite or .mlpackage")
    if not is_unicode(path):
        raise InputError(
            f"the path {path} is not valid Unicode, which ONNX Runtime and coremltools cannot open",
            "rename it",
        )
    alone = target_of(path)
    if alone is not None:
        return (FoundArtifact(path, alone, None),)
    targets = TARGETS.usable()
    found = tuple(
        FoundArtifact(file, name, Precision.named(file.parent.name))
        for name, target in sorted(targets.items())
        for file in sorted(path.glob(f"{name}/*/model.{target.suffix}"))
    )
    if not found:
        inside = [
            file
            for place in ("*", "*/*")  # a folder of a bundle, or of files that somebody else put there
            for target in targets.values()
            for file in sorted(path.glob(f"{place}.{target.suffix}"))
        ]
        if inside:
            raise InputError(f"{path} is a folder and no bundle", _one_of(inside))
        known = ", ".join(f".{suffix}" for suffix in sorted({t.suffix for t in targets.values()}))
        raise InputError(
            f"{path} holds no converted file", f"give a bundle that edgevit wrote, or a file: {known}"
        )
    for file in found:
        existing(file.path, "artifact", "convert again")
    return found


def target_of(path: Path) -> str | None:
    """The target that a file's suffix belongs to, None if to none."""
    suffix = path.suffix.removeprefix(".")
    return next((name for name, target in TARGETS.usable().items() if target.suffix == suffix), None)


def one_artifact(path: Path) -> FoundArtifact:
    """The file itself, or the only one of a bundle.

    Raises:
        InputError: as `find_artifacts`, or a bundle of several files.
    """
    found = find_artifacts(path)
    if len(found) > 1:
        raise InputError(f"{path} is a bundle of {len(found)} files", _one_of([one.path for one in found]))
    return found[0]


def _one_of(files: Sequence[Path]) -> str:
    listed = " or ".join(map(str, files[:3]))
    return f"give one of them: {listed}" if len(files) > 1 else f"give the file in it: {listed}"


def runtime_for(target: str) -> str:
    """Name of the first runtime that executes this target's files here.

    Raises:
        UnsupportedError: none does; the message says why for each.
    """
    names = TARGETS.get(target).runtimes
    reasons = []
    for name in names:
        reason = RUNTIMES.get(name).unavailable()
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise UnsupportedError(
        f"nothing here executes {target} files: {'; '.join(reasons)}", "see `edgevit doctor`"
    )


def contents_of(path: Path) -> tuple[Runtime, Contents]:
    """Read a file back with its runtime."""
    (found,) = find_artifacts(path)
    runtime = RUNTIMES.get(runtime_for(found.target))
    return runtime, runtime.contents(path)


def image_size(artifact: Path, contents: Contents) -> tuple[int, int, int]:
    """(height, width, channels) of the images that a file takes.

    Raises:
        InputError: it takes none.
    """
    if contents.preprocess is not None:
        found = contents.preprocess
        return found.height, found.width, found.channels
    shape = contents.inputs[0].shape if contents.inputs else ()
    if len(shape) != 4:
        raise InputError(
            f"{artifact.name} takes no image: its input is {shape}",
            "only files that take an image (1, height, width, channels) can be timed",
        )
    _, first, second, last = shape
    return (first, second, last) if last == 3 or last < first else (second, last, first)


def plain_preprocess(size: tuple[int, ...]) -> Preprocess:
    """For a file without any, (height, width, channels): its time does not depend on the numbers that it is fed."""
    height, width, channels = size
    half = (0.5,) * channels
    return Preprocess(height, width, (height, width), mean=half, std=half)


def stated_precision(contents: Contents) -> Precision | None:
    """What a file says of itself, None if it says nothing that is known."""
    return Precision.named(contents.metadata.get(metadata_keys.PRECISION))


def guess_precision(contents: Contents, integer: IntegerMacs | None) -> Precision:
    """What a file without a bundle seems to be, from what it holds and what runs in integers, if that is known."""
    if integer is not None and (integer.static or integer.dynamic):
        return Precision.W8A8 if integer.static >= integer.dynamic else Precision.W8DA8
    weights = contents.weight_bytes
    largest = max(weights, key=lambda kind: weights[kind], default="float32")
    found = {"int8": Precision.W8, "uint8": Precision.W8, "float16": Precision.FP16}
    return found.get(largest, Precision.FP32)
