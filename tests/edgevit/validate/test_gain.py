from __future__ import annotations

import numpy as np
import pytest

from edgevit.steps.doubts.probe_preprocess import CLEARLY
from edgevit.validate.gain import FALSE_ALARMS, surely_gained
from edgevit.validate.statistics import drop_interval


def test_alone_it_is_the_lower_end_of_the_paired_interval() -> None:
    before, after = np.arange(100) < 60, np.arange(100) < 80
    low = -drop_interval(0, 20, 100)[1]
    assert surely_gained(before, after, 1) == pytest.approx(low)
    assert surely_gained(before, after, 11) < low
    assert surely_gained(after, before, 1) < 0


def test_the_best_of_eleven_that_are_no_better_is_seldom_taken_for_better() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        before, *others = rng.random((12, 128)) < 0.4
        alarms += max(surely_gained(before, after, 11) for after in others) > 0
    assert alarms <= 200 * FALSE_ALARMS


@pytest.mark.parametrize(("rise", "least", "most"), [(0.15, 0.9, 1.0), (0.1, 0.4, 0.85), (0.05, 0.0, 0.2)])
def test_how_large_a_rise_256_images_show(rise: float, least: float, most: float) -> None:
    """Of a model that is right on 75 % and loses 3.5 % of the images while it gains the others."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        place = rng.random(256)
        before, after = place < 0.75, (place < 0.715) | ((place >= 0.75) & (place < 0.785 + rise))
        found += surely_gained(before, after, 9) > CLEARLY
    assert least <= found / 100 <= most
