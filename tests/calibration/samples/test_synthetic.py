"""Seeded pictures."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.samples.synthetic import SAMPLES
from edgevit.core.errors import UsageError


def test_the_same_pictures_every_time_and_no_two_alike() -> None:
    samples = SAMPLES.open("synthetic:3", ())
    assert len(samples.names) == 3 and samples.labels is None
    np.testing.assert_array_equal(samples.read(1), SAMPLES.open("synthetic:9", ()).read(1))
    assert not np.array_equal(samples.read(0), samples.read(1))
    assert samples.read(0).dtype == np.uint8 and samples.read(0).std() > 10


def test_sixteen_unless_told_otherwise() -> None:
    assert len(SAMPLES.open("synthetic", ()).names) == 16


@pytest.mark.parametrize("text", ["synthetic:0", "synthetic:x", "synthetic:-1", "synthetic:9999999999"])
def test_a_senseless_number_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        SAMPLES.open(text, ())
