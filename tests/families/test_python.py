"""vit-pytorch's models and one with deformable attention, through `python:`, in all three formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families import _convert

pytestmark = pytest.mark.family

_HERE = Path(__file__).parent
FLAT_TARGETS = ("tflite", "coreml")
# Factory, its file, the size of the image, and the seed of the weights, None for the factory's own.
MODELS = {
    "t2t": ("_factories.py", 64, 1),
    "cct": ("_factories.py", 64, 1),
    "cvt": ("_factories.py", 64, 1),
    "dat": ("_dat.py", 128, None),
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _convert.Exported:
    file, side, seed = MODELS[request.param]
    source = f"python:{_HERE / file}:{request.param}"
    model = _convert.load(source, seed=seed, size=(side, side), classes=5)
    return _convert.export(model, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("target", sorted(_convert.RUNTIME_OF))
def test_every_output_of_every_file_equals_pytorch(
    exported: _convert.Exported, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for executed in _convert.execute(exported, target, tmp_path_factory.mktemp(target)):
        _convert.check(executed, rank_limit=4 if target in FLAT_TARGETS else None)
