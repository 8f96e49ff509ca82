"""Calibration images that are not like those that are judged: said, with the layer that suffers most."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.edgevit.flows._tiny import prepared, write_model


def images(folder: Path, name: str, divisor: int, seed: int) -> str:
    """64 images of 16x16 pixels, of different brightness each."""
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(60, 220, (64, 1, 1, 1)) + rng.integers(-40, 36, (64, 16, 16, 3))) // divisor
    np.savez(folder / name, images=pixels.astype(np.uint8), labels=np.arange(64) % 4)
    return str(folder / name)


def test_dark_calibration_images_are_told_with_pixels_ranges_and_the_worst_layer(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    bright = images(folder, "bright.npz", 1, 1)
    dark = images(folder, "dark.npz", 20, 2)
    found = prepared(folder, tmp_path / "dark", calibrate=dark, evaluate=bright)
    (pixels,) = (text for text in found.warnings if "not like" in text)
    (ranges,) = (text for text in found.warnings if "clip" in text)
    with np.load(dark) as one, np.load(bright) as other:
        figures = [
            float(stored["images"].astype(float).dot((0.299, 0.587, 0.114)).mean()) for stored in (one, other)
        ]
        beyond = float((other["images"] > one["images"].max() + 0.5).mean())
    assert f"brightness {figures[0]:.0f} against {figures[1]:.0f}" in pixels
    (simulated,) = found.simulated
    fit = simulated.ranges
    assert fit is not None and fit.clipped_evaluate > 10 * fit.clipped_calibrate
    assert f"{fit.most_clipped.site} suffers most" in ranges and ranges.startswith(
        "onnx w8a8: its ranges clip"
    )
    # the first convolution reads the pixels themselves: nearly all of them lie beyond what was calibrated on
    assert beyond > 0.9 and fit.most_clipped.clipped_evaluate > 0.3


def test_images_of_one_kind_raise_no_doubt(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    one, other = images(folder, "one.npz", 1, 1), images(folder, "two.npz", 1, 2)
    found = prepared(folder, tmp_path / "same", calibrate=one, evaluate=other)
    assert not [text for text in found.warnings if "clip" in text or "not like" in text]
    (simulated,) = found.simulated
    assert simulated.ranges is not None and simulated.ranges.tensors > 0


def test_without_evaluation_images_there_is_nothing_to_compare(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (simulated,) = prepared(folder, tmp_path / "alone").simulated
    assert simulated.ranges is None
