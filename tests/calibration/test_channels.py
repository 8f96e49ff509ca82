"""Images become as many channels as the model takes, or it is said what would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.decode import decode
from calibration.preprocess import to_pixels
from calibration.samples import folder, npz, synthetic
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head
from edgevit.core.types import Preprocess

GRAY = Preprocess(24, 24, (32, 32), color="gray", mean=(0.5,), std=(0.5,))
FIVE = Preprocess(24, 24, (32, 32), color="bands", mean=(0.5,) * 5, std=(0.5,) * 5)


def _noise(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)


def test_a_photograph_becomes_grey_before_it_is_resized(tmp_path: Path) -> None:
    """As timm (input_img_mode L) and torchvision's Grayscale in front of Resize do it with Pillow."""
    Image.fromarray(_noise(3)).save(tmp_path / "a.png")
    found = to_pixels(decode(tmp_path / "a.png"), GRAY, "a.png")
    grey = Image.open(tmp_path / "a.png").convert("L").resize((40, 32), Image.Resampling.BICUBIC)
    assert found.shape == (24, 24, 1)
    assert np.array_equal(found[..., 0], np.asarray(grey)[4:28, 8:32])


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P"])
def test_a_grey_file_keeps_its_values(tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(_noise(1)[..., 0]).convert(mode)
    source.save(tmp_path / "a.png")
    plain = Preprocess(40, 50, (40, 50), shorter_side=False, color="gray", mean=(0.5,), std=(0.5,))
    found = to_pixels(decode(tmp_path / "a.png"), plain, "a.png")
    assert np.array_equal(found[..., 0], np.asarray(source.convert("L")))


def test_bands_are_resized_one_by_one(tmp_path: Path) -> None:
    bands = _noise(5)
    np.savez(tmp_path / "b.npz", images=bands[None])
    samples = npz.SAMPLES.open(str(tmp_path / "b.npz"), Head(channels=5), "calibrate")
    found = to_pixels(samples.read(0), FIVE, "b.npz[0]")
    for band in range(5):
        wanted = Image.fromarray(bands[..., band]).resize((40, 32), Image.Resampling.BICUBIC)
        assert np.array_equal(found[..., band], np.asarray(wanted)[4:28, 8:32])


def test_an_array_of_bands_is_read_as_one_image_too(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", _noise(5))
    assert to_pixels(decode(tmp_path / "b.npy", 5), FIVE, "b.npy").shape == (24, 24, 5)


def test_of_four_bands_in_a_folder_the_model_says_whether_the_last_is_alpha(tmp_path: Path) -> None:
    bands = _noise(4)
    np.save(tmp_path / "b.npy", bands)
    for channels, kept in ((4, bands), (3, bands[..., :3]), (1, bands[..., :3])):
        samples = folder.SAMPLES.open(str(tmp_path), Head(channels=channels), "calibrate")
        np.testing.assert_array_equal(samples.read(0).pixels, kept)
    for channels in (2, 5):
        samples = folder.SAMPLES.open(str(tmp_path), Head(channels=channels), "calibrate")
        with pytest.raises(
            InputError, match=rf"b\.npy is uint8 .*, not uint8 \(N, height, width, {channels}\)"
        ):
            samples.read(0)
    np.save(tmp_path / "b.npy", _noise(3))
    with pytest.raises(InputError, match=r"not uint8 \(N, height, width, 4\)"):
        folder.SAMPLES.open(str(tmp_path), Head(channels=4), "calibrate").read(0)
    np.save(tmp_path / "b.npy", _noise(5))
    with pytest.raises(InputError, match=r"not uint8 \(N, height, width, 1, 3 or 4\)"):
        decode(tmp_path / "b.npy")


@pytest.mark.parametrize(("own", "preprocess"), [(3, FIVE), (4, FIVE), (5, GRAY), (2, GRAY)])
def test_another_number_of_channels_is_told_with_what_to_give(own: int, preprocess: Preprocess) -> None:
    with pytest.raises(
        InputError, match=f"has {own} channels, the model takes {preprocess.channels}"
    ) as told:
        to_pixels(_noise(own), preprocess, "x.png")
    assert f"uint8 (N, height, width, {preprocess.channels})" in str(told.value.hint)


def test_synthetic_pictures_have_as_many_channels_as_are_asked_for() -> None:
    five = synthetic.SAMPLES.open("synthetic:2", Head(channels=5), "evaluate")
    assert five.read(1).pixels.shape == (256, 256, 5)
    three = synthetic.SAMPLES.open("synthetic:2", Head(), "evaluate")
    assert np.array_equal(three.read(1).pixels, five.read(1).pixels[..., :3])
    assert to_pixels(three.read(0), GRAY, "s").shape == (24, 24, 1)
