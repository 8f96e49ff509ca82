from __future__ import annotations

import numpy as np
import pytest

from edgevit.validate.accuracy import measure_accuracy, measure_reference
from edgevit.validate.statistics import detectable_drop, drop_bounds, drop_interval

LABELS = np.array([0] * 10)


def outputs(classes: list[int]) -> np.ndarray:
    return np.eye(6, dtype=np.float32)[classes]


def test_drop_interval_and_agreement_by_counting() -> None:
    reference = outputs([0] * 8 + [1] * 2)
    candidate = outputs([0] * 5 + [2] * 3 + [0] + [1])  # three lost, one gained
    found = measure_accuracy(reference, candidate, LABELS)
    assert (found.top1, found.agreement, found.n) == (60.0, 60.0, 10)
    assert found.drop_pp == pytest.approx(20.0)
    assert found.drop_ci95 == pytest.approx(tuple(100 * x for x in drop_interval(3, 1, 10)))
    assert found.drop_bounds95 == pytest.approx(tuple(100 * x for x in drop_bounds(3, 1, 10)))
    assert found.detectable_drop_pp == pytest.approx(100 * detectable_drop(4, 10))


def test_without_labels_only_agreement_is_known() -> None:
    found = measure_accuracy(outputs([0, 1]), outputs([0, 2]), None)
    assert (found.top1, found.drop_pp, found.agreement) == (None, None, 50.0)
    assert measure_reference(outputs([0, 1]), None).top1 is None


def test_the_reference_is_scored_in_percent() -> None:
    found = measure_reference(outputs([0] * 8 + [1] * 2), LABELS)
    assert (found.top1, found.n) == (80.0, 10)
