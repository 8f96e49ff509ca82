from __future__ import annotations

import numpy as np
import pytest

from edgevit.core.outputs import OutputKind
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


def test_one_logit_agrees_by_its_sign_and_is_right_by_its_label() -> None:
    reference = np.float32([[1], [2], [-3], [-1]])
    candidate = np.float32([[9], [-1], [-1], [-2]])
    found = measure_accuracy(reference, candidate, np.array([1, 1, 0, 1]), OutputKind("binary"))
    assert (found.agreement, found.top1, found.drop_pp, found.majority) == (75.0, 50.0, 25.0, 50.0)
    assert measure_reference(reference, np.array([1, 1, 0, 1]), OutputKind("binary")).top1 == 75.0


def test_one_probability_is_held_against_a_half() -> None:
    reference, candidate = np.float32([0.9, 0.2, 0.6]), np.float32([0.8, 0.4, 0.4])
    found = measure_accuracy(reference, candidate, None, OutputKind("binary", "sigmoid"))
    assert found.agreement == pytest.approx(200 / 3)


def test_of_several_labels_each_decision_counts() -> None:
    reference = np.float32([[1, -1, 2, -1], [1, 1, -2, -1]])
    candidate = np.float32([[3, -1, -2, -1], [1, 1, -2, -1]])
    found = measure_accuracy(reference, candidate, None, OutputKind("multi-label"))
    assert (found.agreement, found.exact_match, found.top1) == (87.5, 50.0, None)
    assert found.majority == 75.0  # the first and last label never change, the other two do
    broken = measure_accuracy(reference, candidate * np.nan, None, OutputKind("multi-label"))
    assert (broken.agreement, broken.exact_match) == (0.0, 0.0)


def test_what_decides_nothing_has_no_accuracy() -> None:
    assert measure_reference(outputs([0]), LABELS[:1], OutputKind("regression")).top1 is None
    with pytest.raises(ValueError, match="decide nothing"):
        measure_accuracy(outputs([0]), outputs([0]), None, OutputKind("features"))
