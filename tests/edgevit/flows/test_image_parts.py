"""Several processes that share the images of one file give what one gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevit.core.precisions import Precision
from edgevit.core.results.report import ArtifactReport, Limits
from edgevit.flows._image_parts import join, split
from edgevit.runtimes._qnn import host
from edgevit.steps import messages, named_outputs
from edgevit.steps.execute import execute
from edgevit.steps.messages import Built, Executed, ExecuteRequest, ImageRange
from edgevit.validate.verdict import judge
from tests.edgevit.runtimes.qnn._quantized import CLASSES, PREPROCESS, images, quantized

REASON = host.unavailable()
here = pytest.mark.skipif(REASON is not None, reason=f"HTP is not executed here: {REASON}")


def _asked(folder: Path, path: Path, count: int) -> ExecuteRequest:
    np.save(folder / messages.PIXELS, images(count))
    named_outputs.save(folder / messages.REFERENCE, {"logits": np.zeros((count, CLASSES), np.float32)})
    return ExecuteRequest(
        work=str(folder),
        runtime="qnn",
        threads=1,
        files=(Built("onnx", Precision.W8A8, 0.0, str(path)),),
        graphs={},
        fp32=None,
        preprocess=PREPROCESS,
    )


@pytest.mark.parametrize(
    ("count", "processes", "parts"),
    [
        (500, 2, [(0, 250), (250, 250)]),
        (101, 3, [(0, 33), (33, 34), (67, 34)]),
        (40, 8, [(0, 20), (20, 20)]),
        (5, 8, [(0, 5)]),
        (0, 2, [(0, 0)]),
    ],
)
def test_images_are_shared(count: int, processes: int, parts: list[tuple[int, int]]) -> None:
    assert [(part.first, part.count) for part in split(count, processes)] == parts


@here
def test_two_parts_are_the_whole(tmp_path: Path) -> None:
    asked = _asked(tmp_path, quantized(tmp_path, 8), 5)
    (whole,) = execute(asked, lambda event: None).files
    wanted = named_outputs.load(tmp_path / whole.outputs)["logits"]
    ranges = (ImageRange(0, 2), ImageRange(2, 2))
    parts = [execute(replace(asked, images=part), lambda event: None).files for part in ranges]
    assert parts[1][0].integer is None  # what is asked besides outputs comes once
    (found,) = join(tmp_path, parts)
    assert found.images == 4 and found.executed_by == f"qnn {host.version()} htp v75 (emulated)"
    assert found.integer is not None and found.integer.static_by_bits[0][0] == 8
    assert np.array_equal(named_outputs.load(tmp_path / found.outputs)["logits"], wanted[:4])


def test_a_part_that_failed_is_what_is_told() -> None:
    good = Executed("onnx", Precision.W8A8, 1.0, outputs="a.npz", images=20)
    bad = Executed("onnx", Precision.W8A8, 0.0, error="the process ended by SIGSEGV")
    assert join(Path(), [(good,), (bad,)]) == (bad,)


@here
def test_a_file_that_htp_takes_in_part_fails_with_its_operators(tmp_path: Path) -> None:
    path = quantized(tmp_path, 8, "Erf")
    (done,) = execute(_asked(tmp_path, path, 2), lambda event: None).files
    assert done.error is None and done.outputs is None
    found = ArtifactReport("onnx", Precision.W8A8, path=path.name, refused=done.refused)
    verdict, reasons = judge(found, Limits())
    assert verdict == "fail"
    assert reasons == ("Erf of blocks.0.act: Operators of type `Erf` are not supported by QNN EP",)
