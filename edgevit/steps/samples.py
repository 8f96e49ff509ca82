"""From SAMPLES texts to arrays in the work folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.outputs import class_count
from edgevit.core.plugins import Head, Role, Samples, SampleSource, Survey
from edgevit.core.results.report import SampleSet
from edgevit.core.types import ModelSpec, Preprocess
from edgevit.registries import SAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

SYNTHETIC = "synthetic:16"


def head_of(spec: ModelSpec) -> Head:
    """The classes that images are held against; none where the model's first output decides nothing."""
    first = spec.outputs[0]
    others = tuple(Head(head.labels, len(head.labels), name) for name, head in spec.heads.items())
    classes = class_count(spec.output, first.shape[-1]) if spec.output.decides else None
    return Head(spec.labels, classes, first.name, others, spec.preprocess.channels)


def samples_path(text: str) -> Path | None:
    """The file or folder that a SAMPLES text names; None where its first word is a plug-in's, such as `demo`."""
    return None if text.partition(":")[0] in SAMPLES.names() else Path(text)


def survey_samples(text: str, role: Role) -> Survey:
    """Count the images of a flag without decoding one.

    Raises:
        InputError: they are not there, or nobody reads them.
    """
    return _plugin(text).survey(text, role)


def open_samples(text: str, head: Head, role: Role) -> Samples:
    """Open a SAMPLES text with the first plug-in that claims it.

    Raises:
        InputError: none does, or what that plug-in finds wrong.
    """
    return _plugin(text).open(text, head, role)


def _plugin(text: str) -> SampleSource:
    for name in SAMPLES.names():
        plugin = SAMPLES.get(name)
        if plugin.accepts(text):
            return plugin
    raise InputError(
        f"{text!r} is not a folder of images, a .npz file or demo",
        "give a folder, a .npz with `images`, or demo",
    )


@dataclass(frozen=True, slots=True)
class ReadImages:
    """Images of one role, resized and cropped.

    Attributes:
        pixels: uint8 (N, height, width, channels).
        labels: int64 (N,) of the first output; None where there are none.
        described: None where the images were not given for this role.
        names: one per image.
        head_labels: the labels of outputs besides the first, by their names.
    """

    pixels: Pixels
    labels: NDArray[np.int64] | None
    described: SampleSet | None
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    head_labels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


def read_samples(
    text: str,
    head: Head,
    preprocess: Preprocess,
    count: int | None,
    skip_bad: bool,
    advance: Callable[[int], None],
) -> ReadImages:
    """`open_samples` and `read_opened` in one, for images that a model is judged on."""
    return read_opened(open_samples(text, head, "evaluate"), preprocess, count, skip_bad, advance)


def read_opened(
    samples: Samples,
    preprocess: Preprocess,
    count: int | None,
    skip_bad: bool,
    advance: Callable[[int], None],
) -> ReadImages:
    """Read, resize and crop."""
    import numpy as np

    from calibration.load import load_pixels

    loaded = load_pixels(samples, preprocess, count=count, skip_bad=skip_bad, advance=advance)
    classes = None if loaded.labels is None else np.asarray(loaded.labels, np.int64)
    pictures = samples.digest()
    described = SampleSet(
        path=samples.path,
        count=len(loaded.pixels),
        digest=_with_labels(pictures, samples),
        labelled=classes is not None,
        skipped=tuple(name for name, _ in loaded.skipped),
        pictures=pictures,
    )
    left_out = (f"left out {name}: {reason}" for name, reason in loaded.skipped)
    warnings = (*samples.warnings, *loaded.remarks, *left_out)
    heads = {head: np.asarray(given, np.int64) for head, given in loaded.head_labels.items()}
    return ReadImages(loaded.pixels, classes, described, loaded.names, warnings, heads)


def _with_labels(pictures: str, samples: Samples) -> str:
    """The digest of the images and of what they are."""
    given = f"{pictures}\n{samples.labels}\n{sorted(samples.head_labels.items())}"
    return hashlib.sha256(given.encode()).hexdigest()
