"""Normalised pixels against the pipeline of timm and torchvision."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

from edgevit.core.pixels import normalise
from edgevit.core.types import Preprocess


def test_normalised_values_equal_torchvision_in_bits_in_both_layouts() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    expected = create_transform((3, 48, 48), is_training=False, crop_pct=1.0, mean=mean, std=std)(
        Image.fromarray(pixels)
    ).numpy()
    preprocess = Preprocess(48, 48, (48, 48), mean=mean, std=std)
    planes, rows = normalise(pixels[None], preprocess), normalise(pixels[None], preprocess, "NHWC")
    assert planes.dtype == rows.dtype == np.float32 and planes.flags.c_contiguous and rows.flags.c_contiguous
    np.testing.assert_array_equal(planes[0], expected)
    np.testing.assert_array_equal(rows[0], np.moveaxis(expected, 0, -1))


def test_bgr_reorders_before_the_model_s_own_mean() -> None:
    pixels = np.zeros((1, 1, 1, 3), np.uint8)
    pixels[0, 0, 0] = 255, 51, 0  # red, green, blue
    found = normalise(
        pixels, Preprocess(1, 1, (1, 1), color="bgr", mean=(0.0, 0.2, 0.5), std=(1.0, 1.0, 0.5))
    )
    torch.testing.assert_close(torch.from_numpy(found).flatten(), torch.tensor([0.0, 0.0, 1.0]))
