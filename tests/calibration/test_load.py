"""Samples to stacked pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.load import evenly, load_pixels
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import Samples
from edgevit.core.types import Preprocess

PREPROCESS = Preprocess(4, 4, (4, 4))


def make(bad: tuple[int, ...] = (), count: int = 6) -> Samples:
    def read(index: int) -> NDArray[np.uint8]:
        if index in bad:
            raise InputError(f"image {index}.png is damaged")
        return np.full((4, 4, 3), index, np.uint8)

    names = tuple(f"{index}.png" for index in range(count))
    return Samples("somewhere", names, tuple(range(10, 10 + count)), read, lambda: "")


def test_a_count_takes_evenly_spaced_images_with_their_labels() -> None:
    loaded = load_pixels(make(), PREPROCESS, count=3)
    assert loaded.names == ("0.png", "2.png", "4.png") and loaded.labels == (10, 12, 14)
    assert loaded.pixels[:, 0, 0, 0].tolist() == [0, 2, 4]


def test_evenly_reaches_across_all_and_never_repeats() -> None:
    assert evenly(10, 4) == (0, 2, 5, 7) and evenly(3, 8) == (0, 1, 2) and evenly(2, None) == (0, 1)
    with pytest.raises(UsageError):
        evenly(10, 0)


def test_a_bad_image_stops_and_is_named() -> None:
    with pytest.raises(InputError, match=r"2\.png") as caught:
        load_pixels(make(bad=(2,)), PREPROCESS)
    assert "--skip-bad-images" in caught.value.hint


def test_skipped_images_are_named_and_the_rest_stays_aligned() -> None:
    steps: list[int] = []
    loaded = load_pixels(make(bad=(0, 3)), PREPROCESS, skip_bad=True, advance=steps.append)
    assert loaded.labels == (11, 12, 14, 15) and loaded.pixels[:, 0, 0, 0].tolist() == [1, 2, 4, 5]
    assert [name for name, _ in loaded.skipped] == ["0.png", "3.png"] and "damaged" in loaded.skipped[0][1]
    assert sum(steps) == 6


def test_nothing_readable_is_an_error_even_when_skipping() -> None:
    with pytest.raises(InputError, match="no image"):
        load_pixels(make(bad=(0, 1), count=2), PREPROCESS, skip_bad=True)


def test_chosen_indices_are_read_in_their_order() -> None:
    assert load_pixels(make(), PREPROCESS, indices=(5, 1)).names == ("5.png", "1.png")
