"""Hugging Face's vision transformers, from local folders, become ONNX, TFLite and Core ML without a difference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from tests.families import _convert
from tests.families._hf import FAMILIES, Saved

pytestmark = pytest.mark.family

FLAT_TARGETS = ("tflite", "coreml")


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda saved: saved.name)
def saved(request: pytest.FixtureRequest) -> Saved:
    found = request.param
    assert isinstance(found, Saved)
    return found


@pytest.fixture(scope="module")
def folder(saved: Saved, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp(saved.name)
    saved.save(found)
    return found


@pytest.fixture(scope="module")
def exported(saved: Saved, folder: Path) -> _convert.Exported:
    return _convert.export(_convert.load(f"hf:{folder}"), folder)


def test_the_folder_gives_every_output_of_transformers_by_name(saved: Saved, folder: Path) -> None:
    model = _convert.load(f"hf:{folder}", seed=None)
    theirs = getattr(transformers, saved.kind).from_pretrained(folder).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, wanted = model.module(image), theirs(pixel_values=image)
    assert tuple(spec.name for spec in model.spec.outputs) == saved.outputs
    for name, value in zip(saved.outputs, found if isinstance(found, tuple) else (found,), strict=True):
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", sorted(_convert.RUNTIME_OF))
def test_every_output_of_every_file_equals_pytorch(
    exported: _convert.Exported, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for executed in _convert.execute(exported, target, tmp_path_factory.mktemp(target)):
        _convert.check(executed, rank_limit=4 if target in FLAT_TARGETS else None)
