"""The embedded images."""

from __future__ import annotations

import pytest

from calibration.samples.demo import SAMPLES
from edgevit.core.assets import demo_asset
from edgevit.core.errors import UsageError
from edgevit.core.plugins import Head, Role, Samples
from edgevit.formats.labels import read_labels


def opened(
    text: str, labels: tuple[str, ...] = (), classes: int | None = None, role: Role = "evaluate"
) -> Samples:
    return SAMPLES.open(text, Head(labels, classes or len(labels) or None), role)


def test_the_two_splits_differ_and_plain_demo_is_the_evaluation_split() -> None:
    labels = read_labels(demo_asset("labels.txt"))
    calibration, evaluation = (opened(f"demo:{split}", labels) for split in ("calibration", "evaluation"))
    assert len(calibration.names) == 512 and len(evaluation.names) == 2000
    assert opened("demo", labels).digest() == evaluation.digest() != calibration.digest()
    assert evaluation.labels is not None and set(evaluation.labels) == set(range(10))
    assert evaluation.read(0).pixels.shape == (28, 28, 3)


def test_for_other_classes_they_are_unlabelled_with_a_warning() -> None:
    samples = opened("demo", ("cat", "dog"))
    assert samples.labels is None and "unlabelled" in samples.warnings[0]


def test_in_another_order_of_the_same_classes_the_names_count() -> None:
    labels = read_labels(demo_asset("labels.txt"))
    given, other = opened("demo", labels).labels, opened("demo", labels[::-1]).labels
    assert given is not None and other is not None
    assert [labels[index] for index in given] == [labels[::-1][index] for index in other]


def test_an_unknown_split_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="test"):
        opened("demo:test", ())
