"""What is read of Vela, by what Vela 5.2.0 wrote of a file of three operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.accelerators import _vela_output
from edgevit.accelerators.ethos_u import check, compile_file
from edgevit.core.errors import StepError, UnsupportedError, UsageError
from edgevit.core.plugins import CompileRequest
from edgevit.core.results.compiled import Placed
from edgevit.flows.compile import compile_for
from tests._command import edgevit
from tests.edgevit.accelerators import _vela


def _asked(tmp_path: Path) -> CompileRequest:
    path, folder = _vela.tiny(tmp_path / "tiny.tflite"), tmp_path / "made"
    folder.mkdir()
    return CompileRequest(str(path), "tiny.tflite", "ethos-u85-1024", str(folder), {})


def test_operators_reasons_and_estimates_are_those_that_vela_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _vela.stand_in(tmp_path)
    report = compile_file(_asked(tmp_path))
    assert report.operators == Placed(npu=2, cpu=1)
    assert report.macs == Placed(npu=1024, cpu=0) and report.macs.share == 1.0
    (left,) = report.findings
    assert (left.operator, left.name, left.module) == ("MEAN", "blocks.0.norm:mean;1", "blocks.0.norm")
    assert "depth is only supported if any of h,w,c == 1" in left.reason
    assert (left.kind, left.source) == ("compiler", "ethos-u-vela 5.2.0")
    told = report.estimate
    assert (told.cycles, told.dram_cycles, told.dram_bytes, told.weight_bytes) == (2468, 411, 928, 256)
    assert told.milliseconds == pytest.approx(2468 / 1e6) and told.by == "ethos-u-vela 5.2.0"


@pytest.mark.parametrize(
    ("then", "error", "told"),
    [
        (
            "echo Buffer is cut; kill -SEGV $$",
            StepError,
            r"crashed on tiny.tflite \(SIGSEGV\): Buffer is cut",
        ),
        ("echo Section Bogus not found; exit 1", UnsupportedError, "Section Bogus not found"),
    ],
)
def test_a_crash_and_a_refusal_are_told_with_what_vela_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, error: type[Exception], told: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _vela.stand_in(tmp_path, then)
    with pytest.raises(error, match=told):
        compile_file(_asked(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [('name="source"', 'name="sources"'), ("4,4,1,1\n", "4,4,1,7\n"), ("<debug", "<debug<")],
    ids=["a table is missing", "an operator that the file does not have", "no XML"],
)
def test_a_database_of_another_form_is_no_answer(tmp_path: Path, old: str, new: str) -> None:
    assert old in _vela.DATABASE
    (tmp_path / "debug.xml").write_text(_vela.DATABASE.replace(old, new))
    with pytest.raises(StepError, match="database"):
        _vela_output.on_cpu(tmp_path / "debug.xml", 3)


@pytest.mark.family
def test_through_the_command_line(tmp_path: Path) -> None:
    path, out, cache = _vela.tiny(tmp_path / "tiny.tflite"), tmp_path / "out.tflite", tmp_path / "cache"
    words = ("compile", path, "--for", "ethos-u85-1024", "--output", out)
    missing = edgevit(*words, XDG_CACHE_HOME=cache)
    assert missing.returncode == 3 and "edgevit compile --for ethos-u85-1024 --setup" in missing.stderr
    program = _vela.stand_in(cache)
    done = edgevit(*words, "--json", XDG_CACHE_HOME=cache)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["operators"] == {"npu": 2, "cpu": 1} and told["output"] == str(out)
    assert out.read_text() == "compiled\n"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    out.unlink()
    assert edgevit(*words, XDG_CACHE_HOME=cache).returncode == 3 and not out.exists()


def test_an_unknown_size_and_an_unknown_option(tmp_path: Path) -> None:
    path = _vela.tiny(tmp_path / "tiny.tflite")
    with pytest.raises(UsageError) as caught:
        check(path, "ethos-u85-102")
    assert "did you mean ethos-u85-1024" in caught.value.hint
    with pytest.raises(UsageError, match="no compiler is known for 'litert-gpu'"):
        compile_for(path, "litert-gpu", {}, None, False)
    with pytest.raises(UsageError, match="no option 'memory'"):
        compile_for(path, "ethos-u85-1024", {"memory": "x"}, None, False)
