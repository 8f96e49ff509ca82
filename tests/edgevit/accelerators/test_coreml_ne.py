"""The Neural Engine: one offending operation in each package, made with coremltools' own builder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from edgevit.accelerators.coreml_ne import CHECKER
from edgevit.core.errors import UnsupportedError
from edgevit.core.results.lint import LintReport


def package(
    path: Path, body: Callable[[Any], Any], shape: tuple[int, ...] = (1, 8, 4, 4), **options: Any
) -> Path:
    """A program in float16 whose body is built by `body`, nothing optimized away."""

    @mb.program(input_specs=[mb.TensorSpec(shape, types.fp16)], opset_version=ct.target.iOS17)
    def program(image: Any) -> Any:
        return body(image)

    settings = {"pass_pipeline": ct.PassPipeline.EMPTY, "skip_model_load": True, **options}
    ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS17, **settings).save(
        str(path)
    )
    return path


def lint(path: Path) -> LintReport:
    return CHECKER.check(path, "coreml-ne")


def test_float32_leaves_and_float16_stays(tmp_path: Path) -> None:
    def body(image: Any) -> Any:
        wide = mb.cast(x=mb.relu(x=image, name="act"), dtype="fp32")
        return mb.cast(x=mb.exp(x=wide, name="kept"), dtype="fp16")

    report = lint(package(tmp_path / "m.mlpackage", body))
    (found,) = report.findings
    assert (found.operator, found.name, found.kind) == ("exp", "kept", "rule")
    assert "float32" in found.reason and "typed-execution" in found.source
    assert report.operators == {"not ruled out": 3, "gpu or cpu": 1}


def test_a_recurrent_layer_leaves(tmp_path: Path) -> None:
    def body(image: Any) -> Any:
        half = np.float16
        weights = {
            "initial_h": np.zeros((4, 2), half),
            "initial_c": np.zeros((4, 2), half),
            "weight_ih": np.ones((8, 4), half),
            "weight_hh": np.ones((8, 2), half),
        }
        return mb.lstm(x=image, direction="forward", name="scan", **weights)[0]

    report = lint(package(tmp_path / "m.mlpackage", body, (8, 4, 4)))
    (found,) = report.findings
    assert found.operator == "lstm" and found.source == "https://github.com/apple/coremltools/issues/1780"


def test_a_dimension_above_what_the_compiler_takes(tmp_path: Path) -> None:
    report = lint(package(tmp_path / "m.mlpackage", lambda image: mb.relu(x=image), (1, 1, 1, 16385)))
    (found,) = report.findings
    assert "1x1x1x16385 has a dimension above 16384" in found.reason
    wide = lint(package(tmp_path / "c.mlpackage", lambda image: mb.relu(x=image), (1, 16385, 1, 1)))
    assert wide.findings == ()


def test_a_range_of_shapes_leaves_and_a_list_stays(tmp_path: Path) -> None:
    def convert(name: str, shape: Any) -> LintReport:
        @mb.program(
            input_specs=[mb.TensorSpec((1, 8, types_size()), types.fp16)], opset_version=ct.target.iOS17
        )
        def program(image: Any) -> Any:
            return mb.relu(x=image, name="act")

        made = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            inputs=[ct.TensorType("image", shape=shape, dtype=np.float16)],
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        made.save(str(tmp_path / name))
        return lint(tmp_path / name)

    ranged = convert("range.mlpackage", (1, 8, ct.RangeDim(4, 16)))
    (found,) = ranged.findings
    assert found.operator == "relu" and "1x8x?" in found.reason and "thread/724930" in found.source
    listed = convert("list.mlpackage", ct.EnumeratedShapes([(1, 8, 4), (1, 8, 16)]))
    assert listed.findings == ()


def types_size() -> Any:
    from coremltools.converters.mil.mil import get_new_symbol

    return get_new_symbol()


def test_the_layout_is_told_and_is_no_finding(tmp_path: Path) -> None:
    report = lint(package(tmp_path / "m.mlpackage", lambda image: mb.relu(x=image), (1, 4, 8)))
    assert report.findings == ()
    (told,) = [item for item in report.not_checked if item.what == "the layout of the tensors"]
    assert told.why.startswith("1 of 1 operations")


def test_the_site_in_the_package_names_the_module(tmp_path: Path) -> None:
    path = package(tmp_path / "m.mlpackage", lambda image: mb.exp(x=mb.cast(x=image, dtype="fp32"), name="e"))
    model = ct.models.MLModel(str(path), skip_model_load=True)
    model.user_defined_metadata["edgevit.sites"] = '{"blocks.2.mlp.act:exp": "e"}'
    model.save(str(tmp_path / "named.mlpackage"))
    (found,) = lint(tmp_path / "named.mlpackage").findings
    assert found.module == "blocks.2.mlp.act"


def test_an_older_kind_of_model_is_refused_by_name(tmp_path: Path) -> None:
    from tests.edgevit.formats.test_mlpackage import _package

    spec = ct.proto.Model_pb2.Model()
    spec.specificationVersion = 4
    spec.neuralNetwork.layers.add().name = "layer"
    path = _package(tmp_path, content=spec.SerializeToString())
    with pytest.raises(UnsupportedError, match="is a Core ML neuralNetwork"):
        lint(path)
