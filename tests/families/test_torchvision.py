"""torchvision's ViT, Swin v1 and v2 and MaxViT become ONNX, TFLite and Core ML without a difference.

Its registered constructors fix the sizes, so that the same classes are built smaller through `python:`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families import _convert

pytestmark = pytest.mark.family

_FACTORIES = Path(__file__).with_name("_factories.py")
FLAT_TARGETS = ("tflite", "coreml")
MODELS = ("torchvision_vit", "torchvision_swin", "torchvision_swin_v2", "torchvision_maxvit")


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _convert.Exported:
    pixels = 48 if request.param == "torchvision_maxvit" else 64
    model = _convert.load(f"python:{_FACTORIES}:{request.param}", size=(pixels, pixels), classes=5)
    return _convert.export(model, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("target", sorted(_convert.RUNTIME_OF))
def test_every_output_of_every_file_equals_pytorch(
    exported: _convert.Exported, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for executed in _convert.execute(exported, target, tmp_path_factory.mktemp(target)):
        _convert.check(executed, rank_limit=4 if target in FLAT_TARGETS else None)
