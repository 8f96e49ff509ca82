"""Pixels against the pipelines of timm and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from timm.data import create_transform
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from calibration.preprocess import to_pixels, upright
from edgevit.core.errors import InputError
from edgevit.core.plugins import Picture
from edgevit.core.types import Preprocess

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SIZES = [(37, 53), (53, 37), (64, 64), (33, 200), (201, 97), (20, 24), (500, 333)]


def picture(height: int, width: int) -> Image.Image:
    noise = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)


def timm_pixels(image: Image.Image, **options: object) -> NDArray[np.uint8]:
    found = create_transform(is_training=False, normalize=False, **options)(image)
    return np.moveaxis(found.numpy(), 0, -1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_shorter_side_and_crop_equal_timm_on_every_pixel(size: tuple[int, int], interpolation: str) -> None:
    image = picture(*size)
    expected = timm_pixels(image, input_size=(3, 48, 48), crop_pct=0.9, interpolation=interpolation)
    mine = to_pixels(image, Preprocess(48, 48, (53, 53), True, interpolation))
    np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("size", SIZES)
def test_a_rectangle_equals_timm(size: tuple[int, int]) -> None:
    image = picture(*size)
    expected = timm_pixels(image, input_size=(3, 48, 64), crop_pct=0.875, interpolation="bicubic")
    np.testing.assert_array_equal(to_pixels(image, Preprocess(48, 64, (54, 73))), expected)


@pytest.mark.parametrize("size", SIZES)
def test_squash_equals_timm(size: tuple[int, int]) -> None:
    image = picture(*size)
    expected = timm_pixels(
        image, input_size=(3, 48, 64), crop_pct=0.9, interpolation="bicubic", crop_mode="squash"
    )
    mine = to_pixels(image, Preprocess(48, 64, (53, 71), shorter_side=False))
    np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("crop_pct", "resize"), [(1.0, (48, 64)), (0.9, (53, 71))])
def test_the_whole_image_within_a_border_equals_timm(
    size: tuple[int, int], crop_pct: float, resize: tuple[int, int]
) -> None:
    image = picture(*size)
    expected = timm_pixels(
        image,
        input_size=(3, 48, 64),
        crop_pct=crop_pct,
        interpolation="bicubic",
        crop_mode="border",
        mean=MEAN,
    )
    mine = to_pixels(image, Preprocess(48, 64, resize, shorter_side=False, border=(102, 128, 153)))
    np.testing.assert_array_equal(mine, expected)


def test_a_thread_within_a_border_keeps_a_pixel() -> None:
    thread = np.full((1, 1000, 3), 9, np.uint8)
    mine = to_pixels(thread, Preprocess(8, 8, (8, 8), shorter_side=False, border=(1, 2, 3)))
    assert (mine[3] == 9).all() and (mine[:3] == (1, 2, 3)).all() and (mine[4:] == (1, 2, 3)).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_larger_than_the_image_is_padded_as_torchvision_does(size: tuple[int, int]) -> None:
    image = picture(*size)
    preset = ImageClassification(crop_size=61, resize_size=40, interpolation=InterpolationMode.BILINEAR)
    preset.mean, preset.std = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
    expected = np.moveaxis((preset(image) * 255).round().byte().numpy(), 0, -1)
    mine = to_pixels(image, Preprocess(61, 61, (40, 40), True, "bilinear"))
    np.testing.assert_array_equal(mine, expected)


def test_an_array_gives_the_pixels_of_its_image() -> None:
    image, preprocess = picture(50, 70), Preprocess(32, 32, (36, 36))
    np.testing.assert_array_equal(to_pixels(np.asarray(image), preprocess), to_pixels(image, preprocess))


def test_a_wrong_array_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        to_pixels(np.zeros((8, 8, 3), np.float32), Preprocess(4, 4, (4, 4)))  # type: ignore[arg-type]


def test_a_strip_that_would_unfold_beyond_all_bounds_is_refused_by_name() -> None:
    strip = np.zeros((1, 60_000, 3), np.uint8)
    with pytest.raises(InputError, match="strip.png of 60000x1 pixels would be resized to 8760000x146"):
        to_pixels(strip, Preprocess(128, 128, (146, 146)), "strip.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(orientation: int) -> None:
    image = picture(5, 7)
    image.getexif()[0x0112] = orientation
    pixels = np.asarray(image)
    turned = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(pixels, orientation), turned)
    for orient, wanted in (("exif", turned), ("none", pixels)):
        size = wanted.shape[:2]
        preprocess = Preprocess(*size, size, shorter_side=False, orient=orient)
        np.testing.assert_array_equal(to_pixels(Picture(pixels, orientation), preprocess), wanted)
