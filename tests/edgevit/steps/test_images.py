"""Which images files are judged on, and what of them is normalised once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from edgevit.core.results.report import SampleSet
from edgevit.core.types import Preprocess
from edgevit.steps.images import Images
from edgevit.steps.samples import ReadImages

PREPROCESS = Preprocess(4, 4, (4, 4), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
GIVEN = SampleSet("images", 3, "digest", labelled=True)
DARK = ReadImages(np.zeros((3, 4, 4, 3), np.uint8), np.arange(3), GIVEN)
BRIGHT = ReadImages(np.full((3, 4, 4, 3), 255, np.uint8), np.arange(3), GIVEN)
NORMALISED = torch.full((3, 3, 4, 4), -1.0)


def test_images_to_evaluate_on_are_judged_and_normalised_by_themselves() -> None:
    images = Images(DARK, BRIGHT, NORMALISED)
    assert images.judged is BRIGHT
    torch.testing.assert_close(images.inputs(2, PREPROCESS), torch.ones(2, 3, 4, 4))


def test_without_them_the_calibration_images_are_judged_with_their_classes() -> None:
    images = Images(DARK, ReadImages(DARK.pixels, None, None), NORMALISED)
    assert images.judged is DARK and images.judged.labels is not None
    assert images.inputs(2, PREPROCESS).data_ptr() == NORMALISED.data_ptr()


def test_without_any_there_are_synthetic_ones() -> None:
    synthetic = replace(BRIGHT, labels=None, described=None)
    images = Images(None, synthetic, None)
    assert images.judged is synthetic
    torch.testing.assert_close(images.inputs(1, PREPROCESS), torch.ones(1, 3, 4, 4))
