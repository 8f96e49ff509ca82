"""Keras 3 models: the same file under TensorFlow, in a process of its own, and in all three formats."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit.core.errors import InputError, StepError, UnsupportedError, UsageError
from edgevit.core.pixels import normalise
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.registries import SOURCES
from tests._sqnr import sqnr
from tests.families import _convert

pytestmark = pytest.mark.family

FLAT_TARGETS = ("tflite", "coreml")
UNIT = {"normalize": "0..1"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME.keras and NAME.npz of three models, made by Keras on TensorFlow."""
    folder = tmp_path_factory.mktemp("keras")
    program = Path(__file__).with_name("_keras_models.py")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, str(program), str(folder)], env=environment, check=True, timeout=300)
    return folder


def load(path: Path, **options: object) -> TorchModel:
    source = f"keras:{path}"
    return SOURCES.get("keras").load(LoadRequest(source, str(path), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["vit", "mobilevit"])
def test_a_classifier_is_what_tensorflow_computes_from_the_same_file(saved: Path, name: str) -> None:
    model, theirs = load(saved / f"{name}.keras"), np.load(saved / f"{name}.npz")
    assert [spec.name for spec in model.spec.outputs] == ["logits"]
    with torch.no_grad():
        logits = model.module(torch.from_numpy(normalise(theirs["pixels"], model.spec.preprocess)))
    assert sqnr(theirs["output"], logits.softmax(-1).numpy()) > 100
    assert model.spec.preprocess.std == pytest.approx((1 / 255,) * 3)
    assert not model.spec.preprocess.shorter_side


def test_named_outputs_and_an_input_of_any_size(saved: Path) -> None:
    theirs = np.load(saved / "features.npz")
    with pytest.raises(UsageError, match="any size"):
        load(saved / "features.keras")
    with pytest.raises(UsageError, match="neither a Rescaling nor a Normalization"):
        load(saved / "features.keras", image_size=(32, 32))
    model = load(saved / "features.keras", image_size=(32, 32), preprocess=UNIT)
    assert model.spec.preprocess.std == (1, 1, 1)
    with torch.no_grad():
        found = model.module(torch.from_numpy(normalise(theirs["pixels"], model.spec.preprocess)))
    assert [spec.name for spec in model.spec.outputs] == ["map", "pooled"]
    for spec, value in zip(model.spec.outputs, found, strict=True):
        assert sqnr(theirs[spec.name], value.numpy()) > 100


@pytest.mark.parametrize("target", sorted(_convert.RUNTIME_OF))
@pytest.mark.parametrize("name", ["vit", "mobilevit"])
def test_every_file_equals_keras_on_pytorch(saved: Path, name: str, target: str, tmp_path: Path) -> None:
    exported = _convert.export(load(saved / f"{name}.keras"), tmp_path)
    for executed in _convert.execute(exported, target, tmp_path):
        _convert.check(executed, rank_limit=4 if target in FLAT_TARGETS else None)


def test_code_damage_and_other_sizes_are_refused(saved: Path, tmp_path: Path) -> None:
    import keras

    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1, name="twist")(image)).save(
        tmp_path / "code.keras"
    )
    with pytest.raises(UnsupportedError, match=r"Lambda layer \(layer 'twist'\)"):
        load(tmp_path / "code.keras")

    @keras.saving.register_keras_serializable(package="mine")
    class Shifted(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs + 1

    keras.Model(image, Shifted(name="own")(image)).save(tmp_path / "own.keras")
    with pytest.raises(UnsupportedError, match="mine>Shifted") as caught:
        load(tmp_path / "own.keras")
    assert "python:" in caught.value.hint
    table = keras.Input((4,))
    keras.Model(table, keras.layers.Dense(2)(table)).save(tmp_path / "table.keras")
    with pytest.raises(UnsupportedError, match="one image"):
        load(tmp_path / "table.keras")
    with pytest.raises(UsageError, match="32x32"):
        load(saved / "vit.keras", image_size=(48, 48))
    with pytest.raises(UsageError, match="--random-weights"):
        load(saved / "vit.keras", random_weights=1)
    broken = (saved / "vit.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(broken[: len(broken) // 2])
    with pytest.raises(InputError, match=r"no \.keras file"):
        load(tmp_path / "half.keras")


def test_a_size_too_small_for_the_model_names_the_layer(saved: Path) -> None:
    with pytest.raises(StepError, match=r"2x2 image in torch.*conv2d of layers\.conv2d") as caught:
        load(saved / "features.keras", image_size=(2, 2), preprocess=UNIT)
    assert "--image-size" in caught.value.hint


def test_mixed_precision_is_computed_in_float32(tmp_path: Path) -> None:
    import keras

    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 8, dtype="mixed_float16", name="mixed")
    keras.Model(image, keras.layers.Flatten(dtype="mixed_float16")(layer(image))).save(
        tmp_path / "mixed.keras"
    )
    model = load(tmp_path / "mixed.keras", preprocess=UNIT)
    ones = torch.ones(1, 3, 8, 8)
    wanted = torch.from_numpy(np.asarray(layer.kernel.value.detach().float())).sum((0, 1, 2))
    assert model.spec.outputs[0].dtype == "float32"
    torch.testing.assert_close(model.module(ones)[0], wanted, rtol=1e-5, atol=1e-5)
