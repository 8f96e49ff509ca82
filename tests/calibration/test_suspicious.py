from __future__ import annotations

import numpy as np
import pytest

from calibration.suspicious import constant_activations, doubts
from edgevit.core.types import Stats

NAMES = ("Bag", "Boot", "Shirt")


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


def test_usual_images_raise_no_doubt() -> None:
    assert doubts(noise(16), np.arange(16) % 3, NAMES, "calibration", for_ranges=True) == ()
    assert doubts(noise(1), np.zeros(1, np.int64), NAMES, "evaluation") == ()
    assert doubts(noise(3), None, NAMES, "evaluation") == ()


def test_few_images_for_ranges_are_told_with_their_number() -> None:
    (told,) = doubts(noise(15), None, NAMES, "calibration", for_ranges=True)
    assert told.startswith("15 calibration images are few to measure ranges on; 16 are")
    assert doubts(noise(15), None, NAMES, "calibration") == ()


@pytest.mark.parametrize(("value", "words"), [(0, "are black"), (90, "are of one colour each")])
def test_images_that_show_nothing_are_told_with_their_contrast(value: int, words: str) -> None:
    pixels = np.full((20, 8, 8, 3), value, np.uint8)
    (told,) = doubts(pixels, None, NAMES, "calibration")
    assert f"all 20 calibration images {words}" in told and f"the brightest is {value}" in told


def test_some_of_one_colour_and_all_alike() -> None:
    pixels = noise(20)
    pixels[3:10] = 7
    (told,) = doubts(pixels, None, NAMES, "evaluation")
    assert told.startswith("7 of 20 evaluation images are of one colour")
    (told,) = doubts(np.repeat(noise(1), 5, 0), None, NAMES, "evaluation")
    assert told == "all 5 evaluation images are the same image"


@pytest.mark.parametrize(("names", "words"), [(NAMES, "show Boot (class 1)"), ((), "show class 1;")])
def test_images_of_one_class_are_told_by_its_name(names: tuple[str, ...], words: str) -> None:
    (told,) = doubts(noise(4), np.ones(4, np.int64), names, "calibration")
    assert f"all 4 calibration images {words}" in told


def test_activations_with_one_value_are_told_with_it() -> None:
    limits = {"a:linear": (0.0, 0.0), "b:linear": (-1.0, 1.0), "c:conv": (0.5, 0.5)}
    stats = Stats({(name, "minmax"): np.array(pair, np.float32) for name, pair in limits.items()}, 32)
    (told,) = constant_activations(stats)
    assert told.startswith(
        "activations with one value throughout all 32 calibration images: a:linear (0), c:conv (0.5);"
    )
    assert constant_activations(Stats({}, 0)) == ()
