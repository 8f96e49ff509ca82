"""A model that ends in a softmax, a sigmoid or one number: nothing is applied twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from converters.tflite import TARGET as TFLITE
from edgevit.core import metadata_keys
from edgevit.core.outputs import OutputKind, dumps
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec
from edgevit.registries import RUNTIMES
from edgevit.steps.classify import ClassifyRequest, classify
from tests.converters.coreml import _models as models

Ending = Callable[[torch.Tensor], torch.Tensor]
PREPROCESS = Preprocess(models.SIZE, models.SIZE, (models.SIZE, models.SIZE), shorter_side=False)


class Net(nn.Module):
    def __init__(self, columns: int, ending: Ending) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(128, columns)
        self.ending = ending

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.ending(self.head(nn.functional.gelu(self.patch(image)).flatten(1)))


KINDS: Mapping[str, tuple[int, Ending, OutputKind, Ending]] = {
    # columns, what the model ends in, its kind, and the probabilities from the logits, by PyTorch
    "softmax": (3, lambda x: x.softmax(-1), OutputKind("single-label", "softmax"), lambda x: x.softmax(-1)),
    "labels": (3, lambda x: x.sigmoid(), OutputKind("multi-label", "sigmoid"), torch.sigmoid),
    "probability": (
        1,
        lambda x: x.sigmoid().squeeze(1),
        OutputKind("binary", "sigmoid"),
        lambda x: torch.cat([(-x).sigmoid(), x.sigmoid()], 1),
    ),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "p.png"
    Image.fromarray(models.image_batch(1)[0]).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("probability", "tflite"),
        *((name, "coreml") for name in ("softmax", "labels", "probability")),
    ],
)
def test_probabilities_are_those_of_pytorch(name: str, target: str, picture: Path, tmp_path: Path) -> None:
    columns, ending, kind, wanted = KINDS[name]
    net = Net(columns, ending)
    shape = tuple(net(torch.zeros(1, 3, models.SIZE, models.SIZE)).shape)
    labels = ("no", "yes") if kind.task == "binary" else tuple("abc")
    graph, spec = models.make(
        net,
        preprocess=PREPROCESS,
        outputs=(TensorSpec("logits", shape, "float32"),),
        labels=labels,
        output=kind,
    )
    path = tmp_path / f"model.{'mlpackage' if target == 'coreml' else target}"
    write(target, graph, spec, path)
    told = classify(ClassifyRequest(str(path), (str(picture),), 9, threads=1), lambda event: None)

    net.ending = lambda x: x
    with torch.no_grad():
        logits = net(models.normalised(np.asarray(Image.open(picture))[None], spec))
    expected = wanted(logits)[0].numpy()
    classes = sorted(told.images[0].classes, key=lambda entry: entry.index)
    assert [entry.label for entry in classes] == list(labels)
    np.testing.assert_allclose([entry.probability for entry in classes], expected, atol=1e-5)
    assert told.outputs_are == kind.words
    if target == "coreml":
        found = models.execute(path, np.asarray(Image.open(picture))[None])
        np.testing.assert_allclose(found["probabilities"][0], expected, atol=1e-5)
        assert found["classLabel"][0] == labels[expected.argmax()]


def write(target: str, graph: models.Graph, spec: ModelSpec, path: Path) -> None:
    if target == "coreml":
        models.convert(graph, spec, "fp32", path)
    else:
        TFLITE.write(TFLITE.prepare(graph, spec, {}), "fp32", None, path, frozenset())
    runtime = {"tflite": "litert", "coreml": "coreml_reference"}[target]
    contents = RUNTIMES.get(runtime).contents(path)
    assert contents.output == spec.output and metadata_keys.OUTPUT not in contents.metadata
    assert contents.activation == spec.output.activation or target == "coreml", dumps(spec.output)
