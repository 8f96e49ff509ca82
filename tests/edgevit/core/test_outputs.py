from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import special

from edgevit.core.errors import InputError
from edgevit.core.outputs import (
    OutputKind,
    class_scores,
    dumps,
    last_activation,
    loads,
    probabilities,
    seen_activation,
)

FILE = Path("m.onnx")
LOGITS = np.random.default_rng(0).normal(0, 4, (5, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (OutputKind(), LOGITS, special.softmax(LOGITS, 1)),
        (OutputKind("single-label", "softmax"), special.softmax(LOGITS, 1), special.softmax(LOGITS, 1)),
        (
            OutputKind("single-label", "log-softmax"),
            special.log_softmax(LOGITS, 1),
            special.softmax(LOGITS, 1),
        ),
        (OutputKind("multi-label"), LOGITS, special.expit(LOGITS)),
        (OutputKind("multi-label", "sigmoid"), special.expit(LOGITS), special.expit(LOGITS)),
        (
            OutputKind("binary"),
            LOGITS[:, 0],
            np.stack([special.expit(-LOGITS[:, 0]), special.expit(LOGITS[:, 0])], 1),
        ),
        (
            OutputKind("binary", "sigmoid"),
            special.expit(LOGITS[:, :1]),
            np.stack([special.expit(-LOGITS[:, 0]), special.expit(LOGITS[:, 0])], 1),
        ),
    ],
)
def test_probabilities_are_those_of_scipy_whatever_the_model_ends_in(
    kind: OutputKind, given: np.ndarray, expected: np.ndarray
) -> None:
    np.testing.assert_allclose(probabilities(given, kind), expected, atol=1e-6)


def test_one_number_decides_by_its_sign_or_by_a_half() -> None:
    logits = np.float32([[-0.1], [0.0], [0.1]])
    assert class_scores(logits, OutputKind("binary")).argmax(1).tolist() == [0, 0, 1]
    shares = np.float32([0.49, 0.5, 0.51])
    assert class_scores(shares, OutputKind("binary", "sigmoid")).argmax(1).tolist() == [0, 0, 1]


def test_only_distributions_are_seen_as_such() -> None:
    assert seen_activation(special.softmax(LOGITS, 1)) == "softmax"
    assert seen_activation(special.log_softmax(LOGITS, 1)) == "log-softmax"
    assert seen_activation(LOGITS) == "none"
    assert seen_activation(special.expit(LOGITS)) == "none"
    assert seen_activation(np.ones((5, 1), np.float32)) == "none"
    assert seen_activation(np.full((5, 3), np.nan, np.float32)) == "none"


def test_the_last_operator_is_followed_through_what_only_moves() -> None:
    made = {"out": ("Squeeze", "a"), "a": ("Softmax", "b"), "b": ("Gemm", "c"), "other": ("Add", "a")}
    assert last_activation("out", made.get) == "softmax"
    assert last_activation("other", made.get) == "none"
    assert last_activation("c", made.get) == "none"
    assert last_activation("a", {"a": ("Cast", "a")}.get) == "none"


def test_a_file_carries_it_as_json() -> None:
    kind = OutputKind("multi-label", "sigmoid")
    assert loads(dumps(kind), FILE) == kind and loads(None, FILE) is None
    for text in ("[", "[]", '{"task":"maybe","activation":"none"}'):
        with pytest.raises(InputError, match=r"m\.onnx"):
            loads(text, FILE)
