"""What a model answered for each image, against a second way to compute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgevit.core.outputs import OutputKind
from edgevit.core.results.outcomes import Answers, Column, unpack
from edgevit.validate.accuracy import measure_reference
from edgevit.validate.outcomes import class_answers, feature_answers, margins

N, CLASSES = 200, 12
RANDOM = np.random.default_rng(1)
LOGITS = RANDOM.normal(0, 2, (N, CLASSES)).astype(np.float32)
LABELS = RANDOM.integers(0, CLASSES, N)


def values(column: Column | None) -> np.ndarray:
    assert column is not None
    return np.asarray(unpack(column, N, "x"))


def test_answers_are_those_that_accuracy_counts() -> None:
    found = class_answers(LOGITS, LABELS, OutputKind(), "onnx", "w8a8")
    best = torch.from_numpy(LOGITS).topk(5).indices.numpy()
    assert np.array_equal(values(found.answer), best[:, 0])
    assert np.array_equal(values(found.correct), best[:, 0] == LABELS)
    assert np.array_equal(values(found.top5), (best == LABELS[:, None]).any(1))
    measured = measure_reference(LOGITS, LABELS)
    assert (
        100 * values(found.correct).mean() == measured.top1
        and 100 * values(found.top5).mean() == measured.top5
    )
    assert (found.target, found.precision, found.sqnr_db) == ("onnx", "w8a8", None)
    unlabelled = class_answers(LOGITS, None, OutputKind())
    assert unlabelled.correct is None and unlabelled.top5 is None and unlabelled.answer == found.answer


@pytest.mark.parametrize("activation", ["none", "softmax", "log-softmax"])
def test_the_margin_is_that_of_the_logits_behind_any_activation(activation: str) -> None:
    given = torch.from_numpy(LOGITS)
    outputs = {"none": given, "softmax": given.softmax(1), "log-softmax": given.log_softmax(1)}[activation]
    two = given.double().topk(2).values
    found = margins(outputs.numpy(), OutputKind("single-label", activation))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, (two[:, 0] - two[:, 1]).numpy(), rtol=1e-4, atol=1e-5)


def test_the_margin_of_one_column_and_of_labels_is_the_distance_from_the_border() -> None:
    logit = LOGITS[:, :1]
    wanted = np.abs(logit[:, 0])
    np.testing.assert_allclose(margins(logit, OutputKind("binary")), wanted, rtol=1e-6)
    shares = torch.from_numpy(logit).sigmoid().numpy()
    np.testing.assert_allclose(margins(shares, OutputKind("binary", "sigmoid")), wanted, rtol=1e-3, atol=1e-5)
    several = margins(LOGITS, OutputKind("multi-label"))
    np.testing.assert_allclose(several, np.abs(LOGITS).min(1), rtol=1e-6)


def test_outputs_that_are_not_finite_are_wrong_and_lead_by_nothing() -> None:
    broken = LOGITS.copy()
    broken[3, 5], broken[4, 0] = np.nan, np.inf
    found = class_answers(broken, LABELS, OutputKind())
    assert not values(found.correct)[[3, 4]].any() and values(found.margin)[[3, 4]].tolist() == [0.0, 0.0]


def test_features_have_an_sqnr_for_each_image() -> None:
    reference = RANDOM.normal(size=(N, 4, 5)).astype(np.float32)
    noisy = reference + np.float32(0.01) * RANDOM.normal(size=reference.shape).astype(np.float32)
    noisy[7] = reference[7]
    found = values(feature_answers(reference, noisy).sqnr_db)
    power = np.square(reference, dtype=np.float64).sum((1, 2))
    error = np.square(reference.astype(np.float64) - noisy).sum((1, 2))
    others = np.arange(N) != 7
    np.testing.assert_allclose(found[others], 10 * np.log10(power[others] / error[others]), rtol=2e-3)
    assert found[7] == 200
    assert feature_answers(reference, None) == Answers()
