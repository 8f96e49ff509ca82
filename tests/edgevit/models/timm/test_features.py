"""timm's feature extractors with the weights of the whole model, against timm's forward_intermediates."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.models import timm as source
from edgevit.models._timm.model import create
from tests.edgevit.graph import _small as small


def request(name: str, folder: Path, **given: str) -> LoadRequest:
    return LoadRequest(
        f"timm:{name}", name, weights=folder / "w.pth", model_args={"features_only": "true", **given}
    )


@pytest.mark.parametrize(
    ("name", "indices", "names"),
    [
        ("test_resnet", None, ("act1", "layer1", "layer2", "layer3", "layer4")),
        ("test_convnext", "(1, 3)", ("stages_1", "stages_3")),
        ("test_vit", "(2, 5)", ("blocks_2", "blocks_5")),
    ],
)
def test_the_maps_are_those_of_the_whole_model(
    name: str, indices: str | None, names: tuple[str, ...], tmp_path: Path
) -> None:
    whole = small.randomised(timm.create_model(name))
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    model = source.load(request(name, tmp_path, **({} if indices is None else {"out_indices": indices})))
    assert tuple(output.name for output in model.spec.outputs) == names
    assert model.spec.output.task == "features" and not model.spec.labels
    image = torch.randn(1, 3, model.spec.preprocess.height, model.spec.preprocess.width)
    chosen = None if indices is None else list(map(int, indices.strip("()").split(",")))
    with torch.no_grad():
        wanted = whole.forward_intermediates(image, indices=chosen, intermediates_only=True, norm=False)
        found = model.module(image)
    assert all(small.db(a, b) > 110 for a, b in zip(wanted, found, strict=True))


def test_indices_that_it_does_not_have_and_labels_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match="timm cannot make test_resnet with .*out_indices"):
        source.load(request("test_resnet", tmp_path, out_indices="(1, 9)"))
    with pytest.raises(UsageError, match=r"last-n \(3\) is out of range") as raised:
        create("test_vit", {"features_only": True, "depth": 1, "img_size": (32, 32)})
    assert "out_indices=[0]" in raised.value.hint
    asked = request("test_resnet", tmp_path)
    with pytest.raises(InputError, match="labels for a model without a classifier"):
        source.load(
            LoadRequest(
                asked.source,
                asked.argument,
                weights=asked.weights,
                model_args=asked.model_args,
                labels=tuple(map(str, range(1000))),
            )
        )
