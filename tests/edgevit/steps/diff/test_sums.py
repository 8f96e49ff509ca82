"""Errors summed over images against the definitions, in numpy on all values at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgevit.steps.diff.sums import Sums


def summed(*pairs: tuple[torch.Tensor, torch.Tensor]) -> Sums:
    made = Sums()
    for reference, candidate in pairs:
        made.add(reference, candidate)
    return made


def test_sums_over_images_are_those_of_all_values_at_once() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (2, 50)), random.normal(0, 1, (2, 50))
    found = summed(*((torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(a, b, strict=True)))
    assert found.db == pytest.approx(10 * math.log10((a**2).sum() / ((a - b) ** 2).sum()))
    assert found.cosine == pytest.approx((a * b).sum() / math.sqrt((a**2).sum() * (b**2).sum()))
    assert found.max_abs == pytest.approx(np.abs(a - b).max())


def test_a_tenth_off_is_20_db() -> None:
    value = torch.tensor([10.0, -10.0, 10.0])
    found = summed((value, value * 1.1))
    assert found.db == pytest.approx(20, abs=1e-5) and found.cosine == pytest.approx(1)
    assert found.max_abs == pytest.approx(1, abs=1e-5)


def test_what_is_infinite_in_both_is_left_out_and_in_one_is_the_worst() -> None:
    mask = torch.tensor([0.0, 1.0, -torch.inf])
    equal, other = summed((mask, mask)), summed((mask, torch.zeros(3)))
    assert (equal.db, equal.cosine, equal.max_abs) == (200, 1, 0)
    assert (other.db, other.cosine) == (-200, -1) and other.max_abs > 1e38  # JSON has no infinity
