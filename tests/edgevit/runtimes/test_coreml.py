"""What can be checked of the Core ML runner without Core ML: everything around `predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.core.errors import InputError, StepError, UnsupportedError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.runtimes._mil.read import MilFile, MilInput
from edgevit.runtimes.coreml import RUNTIME, CoreMLRunner

FILE = MilFile(
    path=Path("m.mlpackage"),
    inputs={"image": "fp32"},
    input=MilInput("image", (1, 3, 2, 4), "image", "bgr"),
    operations=(),
    outputs=("y",),
    classes=("a", "b"),
    metadata={},
    version=8,
)


def test_an_image_is_handed_over_in_rgb_and_probabilities_come_back_in_class_order() -> None:
    seen = []

    def predict(given: dict[str, Any]) -> dict[str, Any]:
        seen.append(np.asarray(given["image"]))
        return {"label": "b", "probs": {"b": 0.75, "a": 0.25}, "logits": np.array([[1.0, 2.0]], np.float32)}

    images = np.arange(2 * 2 * 4 * 3, dtype=np.uint8).reshape(2, 2, 4, 3)
    with CoreMLRunner(FILE, predict, None) as runner:
        found = runner.run(images)
    np.testing.assert_array_equal(np.stack(seen), images)
    np.testing.assert_array_equal(found["probs"], [[0.25, 0.75]] * 2)
    np.testing.assert_array_equal(found["logits"], [[1.0, 2.0]] * 2)
    assert found["label"].tolist() == ["b", "b"]


def test_a_tensor_input_is_normalised_here() -> None:
    preprocess = Preprocess(2, 4, (2, 4), color="bgr", mean=(0.0, 0.0, 1.0), std=(1.0, 1.0, 0.5))
    image = np.broadcast_to(np.array([255, 0, 51], np.uint8), (1, 2, 4, 3)).copy()
    prepared = CoreMLRunner(FILE, dict, preprocess).prepare(image)
    assert isinstance(prepared, dict)
    np.testing.assert_allclose(prepared["image"][0, :, 1, 1], [0.2, 0.0, 0.0], atol=1e-7)
    assert prepared["image"].shape == (1, 3, 2, 4)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="takes images uint8"):
        CoreMLRunner(FILE, dict, None).prepare(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_failure_of_the_framework_names_the_file() -> None:
    def predict(given: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("no such unit")

    with pytest.raises(StepError, match=r"cannot execute m\.mlpackage: no such unit"):
        CoreMLRunner(FILE, predict, None).run(np.zeros((1, 2, 4, 3), np.uint8))


def test_elsewhere_than_on_macos_it_says_why_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    reason = RUNTIME.unavailable()
    assert reason is not None
    assert "macOS only" in reason
    with pytest.raises(UnsupportedError, match="macOS only"):
        RUNTIME.open(Path("m.mlpackage"), RunOptions())
