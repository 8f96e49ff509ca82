"""Seeded pictures for when there are none: gradients, shapes and noise, without labels."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UsageError
from edgevit.core.plugins import Head, Picture, Role, Samples, SampleSource, Survey

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

_SIDE = 256
_DEFAULT = 16


def accepts(text: str) -> bool:
    """`synthetic` or `synthetic:N`."""
    return text.partition(":")[0] == "synthetic"


def survey(text: str, role: Role) -> Survey:
    """N, without labels; raises as `open_synthetic`."""
    return Survey(_count(text), labelled=False)


def open_synthetic(text: str, head: Head, role: Role) -> Samples:
    """N pictures of 256x256, the same everywhere and always.

    Raises:
        UsageError: N is not a number from 1 to 100000.
    """
    count = _count(text)

    @lru_cache(maxsize=_DEFAULT)  # each is read and then hashed
    def made(index: int) -> Pixels:
        return bands(index, head.channels)

    def digest() -> str:
        total = hashlib.sha256()
        for index in range(count):
            total.update(made(index).data)
        return total.hexdigest()

    names = tuple(f"synthetic[{index}]" for index in range(count))
    return Samples(text, names, None, lambda index: Picture(made(index)), digest)


def _count(text: str) -> int:
    number = text.partition(":")[2] or str(_DEFAULT)
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= 100_000):
        raise UsageError(
            f"{text!r}: the number of synthetic images must be from 1 to 100000", "write it as synthetic:16"
        )
    return int(number)


def bands(index: int, channels: int) -> Pixels:
    """`picture` for colours and grey; for any other number the colours of as many pictures as it takes."""
    import numpy as np

    if channels in (1, 3):
        return picture(index)
    several = [picture(index + 100_000 * number) for number in range(-(-channels // 3))]
    return np.ascontiguousarray(np.dstack(several)[..., :channels])


def picture(index: int) -> Pixels:
    """One picture, uint8 (256, 256, 3): two colours in a gradient, six translucent discs, noise."""
    import numpy as np

    random = np.random.Generator(np.random.PCG64(index))
    down, across = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)
    angle = random.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * (across - 0.5) + np.sin(angle) * (down - 0.5)) / np.sqrt(2) + 0.5
    first, second = random.uniform(0, 1, (2, 3))
    image = first + (second - first) * along[..., None]
    for _ in range(6):
        y, x = random.uniform(0, 1, 2)
        radius, opacity = random.uniform(0.05, 0.3), random.uniform(0.3, 1)
        inside = ((down - y) ** 2 + (across - x) ** 2 < radius**2)[..., None] * opacity
        image = image + (random.uniform(0, 1, 3) - image) * inside
    image = image + random.normal(0, random.uniform(0.01, 0.1), image.shape)
    pixels: Pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return pixels


SAMPLES: Final = SampleSource(
    summary="synthetic:N seeded pictures, used when no images are given",
    accepts=accepts,
    survey=survey,
    open=open_synthetic,
)
