"""Weights of a package as views of its file: the same numbers, and none of them copied."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.models.utils import load_spec

from edgevit.formats import mil_weights

WEIGHT = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
OTHER = np.random.default_rng(1).standard_normal((32, 64)).astype(np.float32)


@pytest.fixture(scope="module", params=["FLOAT32", "FLOAT16"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 96))], opset_version=ct.target.iOS16)  # type: ignore[untyped-decorator]
    def program(x: Any) -> Any:
        return mb.linear(x=mb.linear(x=x, weight=WEIGHT, bias=np.zeros(64, np.float32)), weight=OTHER)

    precision = getattr(ct.precision, request.param)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    path = tmp_path_factory.mktemp("package") / "model.mlpackage"
    model.save(str(path))
    return path


def weights_of(package: Path) -> list[Any]:
    spec = load_spec(str(package))
    folder = package / "Data" / "com.apple.CoreML" / "weights"
    program = load(spec, spec.specificationVersion, str(folder))
    return [op.weight.val for op in program.functions["main"].operations if op.op_type == "linear"]


def owner(array: Any) -> object:
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_values_are_the_same_and_stay_in_the_file(package: Path) -> None:
    copied = weights_of(package)
    with mil_weights.mapped():
        views = weights_of(package)
    assert len(views) == 2 and all(isinstance(owner(view), mmap.mmap) for view in views)
    for view, copy, real in zip(views, copied, (WEIGHT, OTHER), strict=True):
        np.testing.assert_array_equal(view, copy)
        np.testing.assert_array_equal(view, real.astype(view.dtype))
        mil_weights.forget(view)
        np.testing.assert_array_equal(view, copy)
    assert not any(isinstance(owner(value), mmap.mmap) for value in weights_of(package))


def test_writing_to_a_view_leaves_the_file_alone(package: Path) -> None:
    with mil_weights.mapped():
        weights_of(package)[0][:] = 0
    assert np.abs(weights_of(package)[0]).max() > 1


def test_a_damaged_file_is_left_to_coremltools(package: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(package, tmp_path / "broken.mlpackage")
    weights = broken / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
    weights.write_bytes(weights.read_bytes()[:2000])
    with mil_weights.mapped(), pytest.raises(Exception, match=r".+"):
        weights_of(broken)
