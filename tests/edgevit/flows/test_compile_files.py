"""`convert --compile`: what a compiler made of a bundle's files lies beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgevit.core.errors import UsageError
from edgevit.core.precisions import Precision
from edgevit.core.results.compiled import Placed
from edgevit.core.results.report import ArtifactReport
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._compile_files import _compiled, check_compilers
from edgevit.runtimes._qnn import host
from tests.edgevit.runtimes.qnn._quantized import quantized

REASON = host.unavailable()
here = pytest.mark.skipif(REASON is not None, reason=f"HTP is not executed here: {REASON}")


@here
def test_the_compiled_file_lies_beside_the_file(tmp_path: Path) -> None:
    bundle, source = tmp_path / "bundle", tmp_path / "source"
    (bundle / "onnx" / "w8a8").mkdir(parents=True)
    source.mkdir()
    shutil.copy(quantized(source, 8), bundle / "onnx" / "w8a8" / "model.onnx")
    artifact = ArtifactReport("onnx", Precision.W8A8, path="onnx/w8a8/model.onnx", notes=("first",))
    found = _compiled(artifact, "onnx/w8a8/model.onnx", bundle, "qnn-v73", Recipe(model="demo"))
    (one,) = found.compiled
    assert (one.output, one.operators) == ("onnx/w8a8/qnn-v73.onnx", Placed(npu=16, cpu=0))
    assert (bundle / "onnx/w8a8/qnn-v73.onnx").stat().st_size > 10_000
    assert found.notes[0] == "first" and "16 of 16 operators on the NPU" in found.notes[1]


def test_what_cannot_be_compiled_is_told_before_any_work() -> None:
    with pytest.raises(UsageError, match="no compiler is known for 'litert-gpu'"):
        check_compilers(["litert-gpu"], {"tflite"})
    with pytest.raises(UsageError, match=r"the compiler for qnn-v75 takes \.onnx files, and none is made"):
        check_compilers(["qnn-v75"], {"tflite"})
    with pytest.raises(UsageError, match="no HTP architecture is called 'v74'"):
        check_compilers(["qnn-v74"], {"onnx"})
