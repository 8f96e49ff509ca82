"""Samples to stacked pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.load import evenly, load_pixels, remark_on
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import Picture, Samples
from edgevit.core.types import Preprocess

PREPROCESS = Preprocess(4, 4, (4, 4))


def make(bad: tuple[int, ...] = (), count: int = 6) -> Samples:
    def read(index: int) -> Picture:
        if index in bad:
            raise InputError(f"image {index}.png is damaged")
        return Picture(np.full((4, 4, 3), index, np.uint8))

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


def test_what_decoding_left_out_is_said_once_with_how_many_images_it_concerns() -> None:
    pictures = [
        Picture(np.zeros((4, 4, 3), np.uint8), 6 if n == 1 else 1, ("two tails",) if n > 3 else ())
        for n in range(6)
    ]
    samples = Samples("somewhere", tuple("abcdef"), None, pictures.__getitem__, lambda: "")
    tails = "somewhere: 2 of 6 images have two tails (such as e)"
    stored = load_pixels(samples, PREPROCESS).remarks
    assert stored[1] == tails and stored[0].startswith(
        "somewhere: 1 of 6 images have an EXIF orientation that is not applied"
    )
    assert load_pixels(samples, replace(PREPROCESS, orient="exif")).remarks == (tails,)
    assert remark_on({"e": pictures[4]}, PREPROCESS) == ("e has two tails",)
