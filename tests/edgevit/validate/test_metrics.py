from __future__ import annotations

import json

import numpy as np
import pytest

from edgevit.registries import METRICS
from edgevit.validate.metrics import agreement, cosine, max_abs, sqnr, top1, top5

A = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
B = np.array([[3.0, 3.5], [0.0, 2.0]], np.float32)


def test_sqnr_by_hand() -> None:
    # Signal 9 + 16 + 4 = 29, noise 0.25.
    assert sqnr.compute(A, B) == pytest.approx(10 * np.log10(29 / 0.25))


def test_sqnr_is_symmetric_in_scale() -> None:
    assert sqnr.compute(A * 1e18, B * 1e18) == pytest.approx(sqnr.compute(A, B), abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_get_the_worst_score(bad: float) -> None:
    broken = A.copy()
    broken[1, 0] = bad
    assert sqnr.compute(A, broken) == -200.0
    assert cosine.compute(A, broken) == pytest.approx((1.0 - 1.0) / 2)
    assert max_abs.compute(A, broken) == np.finfo(np.float32).max
    assert agreement.compute(A, broken) == 50.0
    assert top1.compute(A, broken, np.array([1, 1])) == 50.0


def test_limits_of_sqnr() -> None:
    zero = np.zeros_like(A)
    assert sqnr.compute(A, A) == 200.0
    assert sqnr.compute(zero, zero) == 200.0
    assert sqnr.compute(zero, A) == -200.0


def test_cosine_by_hand() -> None:
    first = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    second = np.array([[1.0, 1.0], [-2.0, -2.0], [0.0, 0.0], [1.0, 0.0]], np.float32)
    assert cosine.compute(first, second) == pytest.approx((np.sqrt(0.5) - 1 + 1 + 0) / 4)


def test_cosine_of_huge_values() -> None:
    huge = np.array([[3e38, 1e38]], np.float32)
    assert cosine.compute(huge, huge) == pytest.approx(1.0)


def test_max_abs_by_hand() -> None:
    assert max_abs.compute(A, B) == 0.5


def test_equal_scores_go_to_the_lower_index() -> None:
    scores = np.array([[1.0, 1.0, 0.0]], np.float32)
    assert top1.compute(scores, scores, np.array([0])) == 100.0
    assert top1.compute(scores, scores, np.array([1])) == 0.0


def test_top5_against_sorting() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 12)).astype(np.float32)
    labels = rng.integers(0, 12, 200)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert top5.compute(scores, scores, labels) == pytest.approx(
        100 * (best == labels[:, None]).any(1).mean()
    )
    assert top1.compute(scores, scores, labels) == pytest.approx(100 * (best[:, 0] == labels).mean())


def test_agreement_counts_equal_classes() -> None:
    other = np.array([[3.0, 4.0], [5.0, 2.0]], np.float32)
    assert agreement.compute(A, other) == 50.0


@pytest.mark.parametrize("labels", [None, np.array([0]), np.array([0, 2]), np.array([-1, 0])])
def test_labels_that_do_not_fit_are_an_error(labels: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="labels"):
        top1.compute(A, A, labels)


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_is_finite_typed_and_checks_its_input(name: str) -> None:
    metric = METRICS.get(name)
    labels = np.array([1, 1]) if metric.needs_labels else None
    value = metric.compute(A, B, labels)
    assert type(value) is float
    json.dumps(value, allow_nan=False)
    if not metric.needs_labels:
        with pytest.raises(ValueError, match="shapes differ"):
            metric.compute(A, B[:1], labels)
        with pytest.raises(ValueError, match=r"NaN"):
            metric.compute(np.full_like(A, np.nan), B, labels)
