"""Samples to pixels: read, resize, crop, stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from calibration.preprocess import to_pixels
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import Picture, Samples
from edgevit.core.types import Preprocess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_TURNED: Final = (
    "an EXIF orientation that is not applied, as the training code of most models does not; where yours "
    "did, add --preprocess orient=exif"
)


@dataclass(frozen=True, slots=True)
class LoadedPixels:
    """What was read.

    Attributes:
        pixels: uint8 (N, height, width, channels), RGB where there are three, resized and cropped.
        labels: class index per image, None if unlabelled.
        names: one per image.
        head_labels: output -> class index per image, for outputs besides the first.
        skipped: (name, reason) of the images left out.
        remarks: a sentence for each thing that was not done as one might expect, with how many images it concerns.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[int, ...] | None
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    head_labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def evenly(total: int, count: int | None) -> tuple[int, ...]:
    """At most `count` of `total` indices, evenly spaced, so that sorted class folders all take part.

    Raises:
        UsageError: `count` is not positive.
    """
    if count is None:
        return tuple(range(total))
    if count < 1:
        raise UsageError(
            f"the number of images must be at least 1, not {count}",
            "give a whole number from 1 on, or leave it out",
        )
    taken = min(count, total)
    return tuple(index * total // taken for index in range(taken))


def load_pixels(
    samples: Samples,
    preprocess: Preprocess,
    *,
    count: int | None = None,
    indices: Sequence[int] | None = None,
    skip_bad: bool = False,
    advance: Callable[[int], None] = lambda steps: None,
) -> LoadedPixels:
    """Read `indices`, or `count` evenly spaced images, or all.

    Args:
        skip_bad: leave out unreadable images and name them in `skipped`, instead of stopping.
        advance: told 1 after each image.

    Raises:
        InputError: an image cannot be read, or none of them can.
    """
    import numpy as np

    chosen = tuple(indices) if indices is not None else evenly(len(samples.names), count)
    pixels = np.empty((len(chosen), preprocess.height, preprocess.width, preprocess.channels), np.uint8)
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    remarks: dict[str, list[str]] = {}
    for index in chosen:
        try:
            picture = samples.read(index)
            pixels[len(kept)] = to_pixels(picture, preprocess, samples.names[index])
        except InputError as error:
            if not skip_bad:
                raise InputError(
                    error.message, error.hint or "--skip-bad-images leaves such files out and counts them"
                ) from error
            skipped.append((samples.names[index], error.message))
        else:
            kept.append(index)
            for remark in _remarks(picture, preprocess):
                remarks.setdefault(remark, []).append(samples.names[index])
        advance(1)
    if not kept:
        why = f"; the first: {skipped[0][1]}" if skipped else ""
        raise InputError(
            f"no image of {samples.path} could be read{why}",
            "convert one of them to PNG and look at it: are they images at all?",
        )
    return LoadedPixels(
        pixels=pixels[: len(kept)],
        labels=None if samples.labels is None else tuple(samples.labels[index] for index in kept),
        names=tuple(samples.names[index] for index in kept),
        skipped=tuple(skipped),
        head_labels={head: tuple(given[i] for i in kept) for head, given in samples.head_labels.items()},
        remarks=tuple(_sentence(samples.path, remark, names, len(kept)) for remark, names in remarks.items()),
    )


def remark_on(pictures: Mapping[str, Picture], preprocess: Preprocess) -> tuple[str, ...]:
    """What is not done with images as one might expect, a sentence for each image and thing."""
    return tuple(
        _sentence("", remark, [name], 1)
        for name, picture in pictures.items()
        for remark in _remarks(picture, preprocess)
    )


def _remarks(picture: Picture, preprocess: Preprocess) -> tuple[str, ...]:
    """Each reads on after "3 of 20 images have"."""
    turned = (NOT_TURNED,) if picture.orientation != 1 and preprocess.orient == "none" else ()
    return (*picture.remarks, *turned)


def _sentence(where: str, remark: str, names: list[str], total: int) -> str:
    if total == 1:
        return f"{names[0]} has {remark}"
    return f"{where}: {len(names)} of {total} images have {remark} (such as {names[0]})"
