"""SQNR from two sums of squares, at its ends too."""

from __future__ import annotations

import math

import pytest

from edgevit.core.decibels import sqnr_db


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [
        (1.0, 0.01, 20.0),
        (5.0, 5.0, 0.0),
        (1.0, 10.0, -10.0),
        (1e300, 1e-300, 200.0),  # their quotient is beyond a double
        (1.0, 0.0, 200.0),
        (0.0, 0.0, 200.0),
        (0.0, 1.0, -200.0),
        (1.0, math.inf, -200.0),
        (1.0, math.nan, -200.0),
        (math.nan, 1.0, -200.0),
    ],
)
def test_ten_times_the_logarithm_within_limits(signal: float, noise: float, expected: float) -> None:
    assert sqnr_db(signal, noise) == pytest.approx(expected, abs=1e-12)


def test_without_limits_it_is_infinite_where_nothing_differs() -> None:
    assert sqnr_db(1.0, 0.0, math.inf) == math.inf and sqnr_db(0.0, 1.0, math.inf) == -math.inf
