"""Two sets of images that are alike, and two that are not, with the figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.unlike import statistics, unlike


def noise(count: int, seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(40, 216, (count, 1, 1, 1))
    return ((levels + rng.normal(0, 20, (count, 8, 8, 3))).clip(0, 255) * scale).astype(np.uint8)


def test_statistics_of_plain_colours_are_those_of_the_standard() -> None:
    red, grey = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 100, np.uint8)
    red[..., 0] = 200
    found = statistics(np.concatenate([red, grey]))
    np.testing.assert_allclose(
        found, [[0.299 * 200, 0, 200 - 59.8, -59.8], [100, 0, 0, 0]], atol=1e-3, rtol=0
    )


def test_contrast_is_the_deviation_of_the_luma() -> None:
    halves = np.zeros((1, 2, 2, 3), np.uint8)
    halves[:, 0] = 100
    assert statistics(halves)[0, 1] == pytest.approx(50)


def test_two_draws_of_one_kind_are_alike_in_all_of_fifty() -> None:
    assert not any(unlike(noise(64, 2 * seed), noise(128, 2 * seed + 1)) for seed in range(50))


def test_images_twenty_times_darker_are_told_with_both_figures() -> None:
    bright, dark = noise(128, 1), noise(64, 2, 1 / 20)
    (text,) = unlike(dark, bright)
    assert (
        f"brightness {statistics(dark)[:, 0].mean():.0f} against {statistics(bright)[:, 0].mean():.0f}"
        in text
    )
    assert "64 calibration images" in text and "128 evaluation images" in text


def test_a_cast_of_colour_is_told_and_brightness_is_not() -> None:
    plain = noise(64, 1)
    tinted = plain.astype(int) + np.array([40, 0, 0]) - np.array([[[12, 12, 12]]])
    (text,) = unlike(tinted.clip(0, 255).astype(np.uint8), noise(64, 2))
    assert "red beyond grey" in text and "brightness" not in text


def test_single_images_say_nothing() -> None:
    assert unlike(noise(1, 1, 1 / 20), noise(64, 2)) == ()
