"""What running the float model must keep on large sets of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgevit.core import pixels as arithmetic
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.steps import run_float


def test_a_few_images_are_normalised_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, 4), torch.nn.Flatten())
    outputs = (TensorSpec("logits", (1, 16), "float32"),)
    spec = ModelSpec("small", "python:small", Preprocess(8, 8, (8, 8)), outputs, (), "", 0)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), np.uint8)
    expected = module(torch.from_numpy(arithmetic.normalise(pixels, spec.preprocess))).detach().numpy()
    seen: list[int] = []

    def counted(some: np.ndarray, preprocess: Preprocess) -> np.ndarray:
        seen.append(len(some))
        return arithmetic.normalise(some, preprocess)

    monkeypatch.setattr(run_float, "normalise", counted)
    found = run_float.run_float(TorchModel(spec, module), pixels)
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)
    assert sum(seen) == 70 and max(seen) <= 32
