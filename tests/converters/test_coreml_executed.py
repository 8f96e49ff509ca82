"""Core ML packages executed by the reference evaluator, against PyTorch and the simulated plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from calibration.preprocess import to_pixels
from edgevit.quant.simulate import simulate
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE
from tests.converters._coreml_models import (
    CLASSES,
    PREPROCESS,
    SIZE,
    Hybrid,
    Vit,
    convert,
    converted,
    execute,
    image_batch,
    make,
    normalised,
    sqnr,
)

both = pytest.mark.parametrize("kind", [Vit, Hybrid])


@both
@pytest.mark.parametrize(("precision", "floor"), [("fp32", 80.0), ("fp16", 40.0)])
def test_float_files_compute_what_pytorch_does_from_pixels(
    kind: type[nn.Module], precision: str, floor: float
) -> None:
    made = converted(kind, precision)
    with torch.no_grad():
        expected = made.module(normalised(image_batch(), made.spec))
    assert sqnr(expected, execute(made.path, image_batch())["logits"]) >= floor


@both
@pytest.mark.parametrize("precision", ["w8", "w8a8"])
def test_quantized_files_compute_what_the_plan_says(kind: type[nn.Module], precision: str) -> None:
    made = converted(kind, precision)
    expected = simulate(made.graph, made.plan, normalised(image_batch(), made.spec))
    assert sqnr(expected, execute(made.path, image_batch())["logits"]) >= 30


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    outputs = execute(converted(Vit, "fp32").path, image_batch())
    expected = torch.from_numpy(outputs["logits"]).softmax(-1)
    np.testing.assert_allclose(outputs["classLabel_probs"], expected, atol=1e-6)
    assert list(outputs["classLabel"]) == ["abcde"[i] for i in expected.argmax(-1)]


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_jpeg_needs_nothing_but_the_file_to_get_pytorchs_logits(tmp_path: Path, color: Any) -> None:
    torch.manual_seed(0)
    module, size = Vit(), PREPROCESS.resize[0]
    mean, std = (0.2, 0.5, 0.7), (0.5, 0.25, 0.2)
    graph, spec = make(module, preprocess=replace(PREPROCESS, color=color, mean=mean, std=std))
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    coarse = np.random.default_rng(0).integers((150, 60, 0), (256, 160, 60), (5, 6, 3)).astype(np.uint8)
    Image.fromarray(coarse.repeat(9, 0).repeat(9, 1)).save(tmp_path / "photo.jpg")

    image = Image.open(tmp_path / "photo.jpg")
    embedded = REFERENCE.contents(tmp_path / "m.mlpackage").preprocess
    assert embedded is not None
    logits = execute(tmp_path / "m.mlpackage", to_pixels(image, embedded)[None])["logits"]

    cropped = transforms.CenterCrop(SIZE)(
        transforms.Resize(size, transforms.InterpolationMode.BICUBIC)(image)
    )
    x = transforms.ToTensor()(cropped)
    normalise = transforms.Normalize(mean, std)
    order = (lambda y: y) if color == "rgb" else (lambda y: y.flip(0))
    with torch.no_grad():
        assert sqnr(module(normalise(order(x))[None]), logits) >= 80
        assert sqnr(module(normalise(order(x.flip(0)))[None]), logits) < 20


@pytest.mark.parametrize("operator", [torch.add, torch.sub])
def test_alpha_of_add_and_sub_is_kept(tmp_path: Path, operator: Callable[..., torch.Tensor]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(operator(x, x.relu(), alpha=0.3).mean((2, 3)))

    module = Net()
    graph, spec = make(module)
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    with torch.no_grad():
        expected = module(normalised(image_batch(), spec))
    assert sqnr(expected, execute(tmp_path / "m.mlpackage", image_batch())["logits"]) >= 80
