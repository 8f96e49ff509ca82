"""What Qualcomm's compiler says of files, through the commands that ask it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.accelerators.qnn import CHECKER
from edgevit.core.errors import UsageError
from edgevit.runtimes._qnn import host
from tests._command import edgevit
from tests.edgevit.runtimes.qnn._quantized import quantized

REASON = host.unavailable()
here = pytest.mark.skipif(REASON is not None, reason=f"HTP is not executed here: {REASON}")


@here
@pytest.mark.family
def test_an_operator_that_leaves_is_told_with_its_module(tmp_path: Path) -> None:
    path = quantized(tmp_path, 8, "Erf")
    done = edgevit("lint", str(path), "--for", "qnn-v73", "--json")
    assert done.returncode == 1, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    (found,) = report["findings"]
    assert (found["operator"], found["module"], found["kind"]) == ("Erf", "blocks.0.act", "compiler")
    assert found["reason"] == "Operators of type `Erf` are not supported by QNN EP"
    assert found["source"] == f"onnxruntime-qnn {host.version()} for HTP v73"
    assert report["operators"] == {"npu": 16, "cpu": 1}


@here
def test_a_file_is_compiled_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "compiled.onnx"
    done = edgevit("compile", str(quantized(tmp_path, 8)), "--for", "qnn-v75", "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["operators"] == {"npu": 16, "cpu": 0} and report["estimate"] is None
    assert out.stat().st_size > 10_000
    done = edgevit(
        "compile", str(quantized(tmp_path, 8, "Erf")), "--for", "qnn-v75", "-o", str(tmp_path / "no")
    )
    assert done.returncode == 1 and "Erf of blocks.0.act" in done.stderr and not (tmp_path / "no").exists()


@here
@pytest.mark.family
def test_an_unknown_architecture_is_wrong_usage(tmp_path: Path) -> None:
    assert CHECKER.accepts("qnn-v80") and CHECKER.accepts("qnn") and not CHECKER.accepts("qnnx")
    with pytest.raises(UsageError, match="no HTP architecture is called 'v80'"):
        CHECKER.check(quantized(tmp_path, 8), "qnn-v80")
