"""Core ML packages executed by the reference evaluator, against PyTorch and the simulated plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools.proto import Model_pb2
from torch import nn

from edgevit.quant.simulate import simulate
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE
from tests._sqnr import sqnr
from tests.converters import _photographs as photos
from tests.converters.coreml._models import (
    CLASSES,
    PREPROCESS,
    Hybrid,
    Vit,
    convert,
    converted,
    execute,
    image_batch,
    make,
    normalised,
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
    expected = simulate(made.graph, made.plan, normalised(image_batch(), made.spec))[0]
    assert sqnr(expected, execute(made.path, image_batch())["logits"]) >= 30


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    outputs = execute(converted(Vit, "fp32").path, image_batch())
    expected = torch.from_numpy(outputs["logits"]).softmax(-1)
    np.testing.assert_allclose(outputs["classLabel_probs"], expected, atol=1e-6)
    assert list(outputs["classLabel"]) == ["abcde"[i] for i in expected.argmax(-1)]


def test_from_a_jpeg_to_the_class_with_nothing_but_the_file(
    tmp_path: Path, photographs: tuple[Path, ...]
) -> None:
    """The package's own colour order, normalisation and labels give PyTorch's logits; planted wrong, not."""
    module, graph, spec = photos.made()
    right = tmp_path / "right.mlpackage"
    convert(graph, spec, "fp32", right)
    photos.assert_only_the_right_file_agrees(
        module, right, REFERENCE, _swap_colors, _change_mean, photographs
    )


def _program(package: Path) -> Path:
    return package / "Data" / "com.apple.CoreML" / "model.mlmodel"


def _swap_colors(package: Path) -> None:
    """RGB becomes BGR in the description of the image input."""
    model = Model_pb2.Model.FromString(_program(package).read_bytes())
    image = model.description.input[0].type.imageType
    assert image.colorSpace == image.RGB
    image.colorSpace = image.BGR
    _program(package).write_bytes(model.SerializeToString())


def _change_mean(package: Path) -> None:
    """Normalisation is in the graph: `image * 1/(255 std) - mean/std`."""
    old, new = (
        (np.array(mean, np.float64) / photos.STD).astype(np.float32).tobytes()
        for mean in (photos.MEAN, photos.WRONG_MEAN)
    )
    photos.replace_bytes(_program(package), old, new)


def test_a_model_for_bgr_is_fed_bgr(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Vit()
    preprocess = replace(PREPROCESS, color="bgr", mean=(0.2, 0.5, 0.7), std=(0.5, 0.25, 0.2))
    graph, spec = make(module, preprocess=preprocess)
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    with torch.no_grad():
        expected = module(normalised(image_batch(), spec))
    assert sqnr(expected, execute(tmp_path / "m.mlpackage", image_batch())["logits"]) >= 80


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


@pytest.mark.parametrize(("padding", "align"), [("zeros", False), ("border", True), ("reflection", False)])
def test_sampling_at_computed_places_is_pytorchs(tmp_path: Path, padding: str, align: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offsets, self.head = nn.Conv2d(3, 2, 8, 8), nn.Linear(3, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            params = 1.5 * self.offsets(x).tanh().permute(0, 2, 3, 1)
            y = nn.functional.grid_sample(x, params, padding_mode=padding, align_corners=align)
            return self.head(y.mean((2, 3)))

    torch.manual_seed(0)
    module = Net()
    graph, spec = make(module)
    convert(graph, spec, "fp32", tmp_path / "m.mlpackage")
    with torch.no_grad():
        expected = module(normalised(image_batch(), spec))
    assert sqnr(expected, execute(tmp_path / "m.mlpackage", image_batch())["logits"]) >= 80
