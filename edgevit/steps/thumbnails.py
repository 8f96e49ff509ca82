"""The step that makes small pictures of some evaluation images, for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Picture, Samples
from edgevit.core.progress import Advance, Emit
from edgevit.steps.samples import open_samples

SIDE: Final = 96  # pixels of the longer side
_QUALITY: Final = 80


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image by its name among the samples; `index` is what the caller knows it by."""

    index: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbnailsRequest:
    """Some images of a SAMPLES text.

    Attributes:
        samples: with the part that was chosen of it, as reports have it.
        pictures: digest of the images when they were judged; others are not shown. "" where it is unknown.
        labels, channels: of the model that was judged on them.
    """

    samples: str
    images: tuple[Wanted, ...]
    pictures: str = ""
    labels: tuple[str, ...] = ()
    channels: int = 3


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG in base64."""

    index: int
    jpeg: str


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Those that could be made.

    Attributes:
        note: why others are missing, in one sentence; "" where none is.
    """

    made: tuple[Thumbnail, ...]
    note: str = ""

    def pictures(self) -> Mapping[int, bytes]:
        """The JPEG of each image by its index."""
        return {each.index: base64.b64decode(each.jpeg) for each in self.made}


def thumbnails(asked: ThumbnailsRequest, emit: Emit) -> Thumbnails:
    """Read these images and nothing else, and make them small. Runs in a worker.

    Images that are gone, unreadable or others than those that were judged are no error: nothing is decided by a
    picture, and the note says what is missing.
    """
    try:
        head = Head(asked.labels, len(asked.labels) or None, channels=asked.channels)
        samples = open_samples(asked.samples, head, "evaluate")
    except InputError as error:
        return Thumbnails((), f"no pictures: {error.message}")
    if asked.pictures and samples.digest() != asked.pictures:
        return Thumbnails(
            (), f"no pictures: the images of {asked.samples} are others than when they were judged"
        )
    places = {name: place for place, name in enumerate(samples.names)}
    made, missing = [], []
    for wanted in asked.images:
        try:
            made.append(Thumbnail(wanted.index, _small(_read(samples, places, wanted.name))))
        except InputError as error:
            missing.append(error.message)
        emit(Advance())
    note = f"no picture of {len(missing)} of {len(asked.images)} images: {missing[0]}" if missing else ""
    return Thumbnails(tuple(made), note)


def _read(samples: Samples, places: Mapping[str, int], name: str) -> Picture:
    if name not in places:
        raise InputError(f"{samples.path} has no image {name}", "give the images that were evaluated")
    return samples.read(places[name])


def _small(picture: Picture) -> str:
    """Upright, as people look at it, whatever the model is fed; of more than three bands the first three."""
    from PIL import Image

    from calibration.preprocess import upright

    pixels = upright(picture.pixels, picture.orientation)
    shown = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    image = Image.fromarray(shown)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    image.save(made, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(made.getvalue()).decode()
