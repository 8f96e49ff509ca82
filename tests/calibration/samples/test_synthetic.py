"""Seeded pictures."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.samples.synthetic import SAMPLES
from edgevit.core.errors import UsageError
from edgevit.core.plugins import Head, Role, Samples


def opened(
    text: str, labels: tuple[str, ...] = (), classes: int | None = None, role: Role = "evaluate"
) -> Samples:
    return SAMPLES.open(text, Head(labels, classes or len(labels) or None), role)


def test_the_same_pictures_every_time_and_no_two_alike() -> None:
    samples = opened("synthetic:3", ())
    assert len(samples.names) == 3 and samples.labels is None
    np.testing.assert_array_equal(samples.read(1).pixels, opened("synthetic:9", ()).read(1).pixels)
    assert not np.array_equal(samples.read(0).pixels, samples.read(1).pixels)
    assert samples.read(0).pixels.dtype == np.uint8 and samples.read(0).pixels.std() > 10


def test_sixteen_unless_told_otherwise() -> None:
    assert len(opened("synthetic", ()).names) == 16


@pytest.mark.parametrize("text", ["synthetic:0", "synthetic:x", "synthetic:-1", "synthetic:9999999999"])
def test_a_senseless_number_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        opened(text, ())
