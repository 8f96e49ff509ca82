"""From SAMPLES texts to arrays in the work folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.plugins import Samples
from edgevit.core.report import SampleSet
from edgevit.core.types import Preprocess
from edgevit.registries import SAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

SYNTHETIC = "synthetic:16"


def open_samples(text: str, labels: tuple[str, ...]) -> Samples:
    """Open a SAMPLES text with the first plug-in that claims it.

    Raises:
        InputError: none does.
    """
    for name in SAMPLES.names():
        plugin = SAMPLES.get(name)
        if plugin.accepts(text):
            return plugin.open(text, labels)
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
