"""From SAMPLES texts to arrays in the work folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.errors import InputError
from edgevit.core.plugins import Samples, SampleSource, Survey
from edgevit.core.report import SampleSet
from edgevit.core.types import Preprocess
from edgevit.registries import SAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

SYNTHETIC = "synthetic:16"


# `demo` as calibration images is another split than `demo` as evaluation images.
_SPLITS: Final = {
    ("demo", "calibrate"): "demo:calibration",
    ("demo", "evaluate"): "demo:evaluation",
}


def for_role(text: str, role: Literal["calibrate", "evaluate"]) -> str:
    """The SAMPLES text of a flag, with the split that it stands for."""
    return _SPLITS.get((text, role), text)


def survey_samples(text: str, role: Literal["calibrate", "evaluate"]) -> Survey:
    """Count the images of a flag without decoding one.

    Raises:
        InputError: they are not there, or nobody reads them.
    """
    text = for_role(text, role)
    return _plugin(text).survey(text)


def open_samples(text: str, labels: tuple[str, ...]) -> Samples:
    """Open a SAMPLES text with the first plug-in that claims it.

    Raises:
        InputError: none does, or what that plug-in finds wrong.
    """
    return _plugin(text).open(text, labels)


def _plugin(text: str) -> SampleSource:
    for name in SAMPLES.names():
        plugin = SAMPLES.get(name)
        if plugin.accepts(text):
            return plugin
    raise InputError(
        f"{text!r} is not a folder of images, a .npz file or demo",
        "give a folder, a .npz with `images`, or demo",
    )


def read_samples(
    text: str,
    labels: tuple[str, ...],
    preprocess: Preprocess,
    count: int | None,
    skip_bad: bool,
    advance: Callable[[int], None],
) -> tuple[Pixels, NDArray[np.int64] | None, SampleSet, tuple[str, ...]]:
    """`open_samples` and `read_opened` in one."""
    return read_opened(open_samples(text, labels), preprocess, count, skip_bad, advance)


def read_opened(
    samples: Samples,
    preprocess: Preprocess,
    count: int | None,
    skip_bad: bool,
    advance: Callable[[int], None],
) -> tuple[Pixels, NDArray[np.int64] | None, SampleSet, tuple[str, ...]]:
    """Read, resize and crop: pixels uint8 (N, height, width, 3), labels int64 (N,), what was read, warnings."""
    import numpy as np

    from calibration.load import load_pixels

    loaded = load_pixels(samples, preprocess, count=count, skip_bad=skip_bad, advance=advance)
    classes = None if loaded.labels is None else np.asarray(loaded.labels, np.int64)
    described = SampleSet(
        path=samples.path,
        count=len(loaded.pixels),
        digest=samples.digest(),
        labelled=classes is not None,
        skipped=tuple(name for name, _ in loaded.skipped),
    )
    warnings = (*samples.warnings, *(f"left out {name}: {reason}" for name, reason in loaded.skipped))
    return loaded.pixels, classes, described, warnings
