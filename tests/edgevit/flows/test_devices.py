"""Files on a device: the same images there, held against the float model and against the same file here."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgevit import cli, gate
from edgevit.core.results import report as reports
from edgevit.devices.session import Chunk, Session
from edgevit.flows._devices import execute
from edgevit.flows.make_recipe import make
from edgevit.flows.validate import validate
from tests._command import edgevit
from tests._ssh_server import serving
from tests.edgevit.flows import _hybrid
from tests.edgevit.flows._converted import EVALUATED, Converted

# A device whose kernel for attention is wrong: it answers, and takes its time, as a good one does.
FAULT = """
import sys

if any(word.endswith(".pyz") for word in sys.orig_argv):  # the agent, and nothing else of edgevit
    import onnx
    import onnxruntime

    class Wrong(onnxruntime.InferenceSession):
        def __init__(self, path, *arguments, **named):
            model = onnx.load(path)
            for node in model.graph.node:
                if node.op_type == "Attention":  # sharper than it should be
                    kept = [one for one in node.attribute if one.name != "scale"]
                    del node.attribute[:]
                    node.attribute.extend([*kept, onnx.helper.make_attribute("scale", 4.0)])
            super().__init__(model.SerializeToString(), *arguments, **named)

    onnxruntime.InferenceSession = Wrong
"""


@pytest.fixture
def two_files(hybrid: Converted, tmp_path: Path) -> Path:
    for name in ("onnx/fp16", "tflite/w8a8"):
        shutil.copytree(hybrid.bundle / name, tmp_path / "two" / name)
    return tmp_path / "two"


def test_a_device_that_computes_something_else_fails_and_the_layer_is_named(
    two_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault" / "sitecustomize.py").write_text(FAULT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fault"))
    monkeypatch.setattr(execute, "TIMED_RUNS", 1)
    monkeypatch.setattr(execute, "_CHUNK", 20)  # the images travel in two pieces, the last one smaller
    recipe = make(
        {
            "model": _hybrid.MODEL[0],
            "image_size": str(_hybrid.SIZE),
            "preprocess": ["normalize=imagenet", "crop_pct=1.0"],
            "labels": [_hybrid.LABELS[1]],
            "evaluate": "demo",
            "evaluate_count": EVALUATED,
            "threads": 1,
            "device": ["local"],
            "output": str(tmp_path / "kept"),
        }
    )
    report = validate(two_files, recipe)
    wrong, right = report.artifacts
    assert (wrong.name, right.name) == ("onnx/fp16", "tflite/w8a8")
    there = wrong.devices[0]
    assert wrong.verdict == there.verdict == "fail"
    assert "computes something else there" in there.reasons[0]
    assert "first layer that differs is" in there.reasons[-1] and "attn" in there.reasons[-1]
    assert any(reason.startswith("on local: ") for reason in wrong.reasons)
    assert there.loss is not None and there.loss.sqnr_db < 30 and there.loss.n == EVALUATED
    same = right.devices[0]
    assert right.verdict == same.verdict == "pass"
    assert same.loss is not None and (same.loss.sqnr_db, same.loss.max_abs, same.loss.agreement) == (
        200,
        0,
        100,
    )
    assert same.accuracy == right.accuracy and same.total == right.total
    assert same.latency is not None and same.executed_by == right.executed_by
    (device,) = report.devices
    assert device.fingerprint.cores >= 1 and "numpy" in device.fingerprint.runtimes
    assert reports.from_json(json.loads(json.dumps(reports.to_json(report)))).devices == report.devices
    # The gate knows the same file on a device as one of its own.
    gated = gate(tmp_path / "kept", baseline=tmp_path / "kept", thumbnails=False)
    there = {check.subject for check in gated.checks if "@" in check.subject}
    assert there == {"onnx/fp16@local", "tflite/w8a8@local"}
    assert {c.outcome for c in gated.checks if c.subject == "tflite/w8a8@local" and c.kind == "accuracy"} == {
        "pass"
    }


@pytest.mark.family
def test_a_connection_that_is_cut_in_the_middle_of_the_images_goes_on_where_it_was(
    hybrid: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line: four pieces of the images, the link breaks when two have come back."""
    execute_there, asked = Session.execute, list[list[str]]()

    def cut(
        self: Session,
        path: str,
        file: Any,
        chunks: tuple[Chunk, ...],
        *,
        done: Callable[..., None],
        **named: Any,
    ) -> str:
        asked.append([chunk.outputs.name for chunk in chunks])
        came: list[Chunk] = []

        def told(chunk: Chunk, images: int) -> None:
            done(chunk, images)
            came.append(chunk)
            if len(asked) == 1 and len(came) == 2:
                server.cut("back")

        return execute_there(self, path, file, chunks, done=told, **named)

    monkeypatch.setattr(Session, "execute", cut)
    monkeypatch.setattr(execute, "TIMED_RUNS", 1)
    monkeypatch.setattr(execute, "_CHUNK", EVALUATED // 4)
    against = ("--reference", *_hybrid.MODEL, *_hybrid.LABELS, "--evaluate", "demo")
    file = str(hybrid.file("tflite", "w8a8"))
    with serving(tmp_path / "board") as server:
        monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
        words = ("validate", file, *against, "--evaluate-count", str(EVALUATED), "--device", server.where)
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--threads", "1", "--json"])
        left = sorted(path.name for path in server.home.rglob("*"))
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert shown.err.count("connecting again (1 of 2)") == 1
    names = [f"tflite-w8a8-{number}.npz" for number in range(4)]
    assert asked == [names, names[2:]] and left == [".cache"]
    (there,) = json.loads(shown.out)["artifacts"][0]["devices"]
    assert there["loss"] == {"sqnr_db": 200, "max_abs": 0, "agreement": 100, "n": EVALUATED}
    here = json.loads(shown.out)["artifacts"][0]
    assert there["integer_mac_fraction"] == here["integer_mac_fraction"] > 0.5
    assert there["partitions"] == here["partitions"] == 1 and there["remarks"] == []


def test_an_unknown_device_is_told_before_any_work(two_files: Path) -> None:
    against = ("--reference", *_hybrid.MODEL, "--evaluate", "demo")
    for where, words in (("usb", "unknown device 'usb'"), ("local:3", "local takes nothing more")):
        done = edgevit("validate", two_files, *against, "--device", where)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
