"""Every family of timm becomes ONNX, TFLite and Core ML, and each file gives what PyTorch gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.families import _convert
from tests.families._timm import FAMILIES, Family

pytestmark = pytest.mark.family

FLAT_TARGETS = ("tflite", "coreml")


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    found = request.param
    assert isinstance(found, Family)
    return found


@pytest.fixture(scope="module")
def exported(family: Family, tmp_path_factory: pytest.TempPathFactory) -> _convert.Exported:
    model = _convert.load(
        family.source, size=(family.size, family.size), classes=family.classes, **family.args
    )
    return _convert.export(model, tmp_path_factory.mktemp(family.name))


def test_outputs_depend_on_the_image(exported: _convert.Exported) -> None:
    for output in exported.reference:
        assert np.isfinite(output).all() and np.abs(output).max() < 1000
        assert np.square(output[0] - output[1]).mean() > 0.001 * np.square(output).mean()


@pytest.mark.parametrize("target", sorted(_convert.RUNTIME_OF))
def test_every_output_of_every_file_equals_pytorch(
    family: Family, exported: _convert.Exported, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = _convert.execute(exported, target, tmp_path_factory.mktemp(target))
    for executed in files:
        _convert.check(executed, rank_limit=4 if family.flat and target in FLAT_TARGETS else None)
