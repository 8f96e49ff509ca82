"""Bundles and baselines whose parts contradict each other, with hashes that hold: one clear error each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench._gate import drawn as d
from edgevit.core.errors import InputError
from edgevit.core.results import outcomes as o
from edgevit.flows import gate as flow
from tests.edgevit.flows._gate import Document, damaged, forged, held

N = 200
SHIPPED = d.a_model(np.random.default_rng(0), N)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forged")
    flow.save_baseline(d.write(folder / "shipped", SHIPPED), folder / "base.json")
    return folder / "base.json"


def set_to(place: str, value: object) -> Callable[[Document], object]:
    """`artifacts.0.size_bytes` is one in nested lists and objects."""

    def change(data: Document) -> None:
        *parents, last = place.split(".")
        inner = data
        for key in parents:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        inner[last] = value

    return change


def other(column: o.Column) -> Document:
    return {"type": column.type, "data": column.data}


TIMED = {
    "p50_ms": 1.0,
    "ratio_to_fp32": {"value": 1.0, "ci95": [0.9, 1.1]},
    "device": {"system": "Linux", "cpu": "a", "cores": 2, "runtime": "onnx 1", "threads": 1},
}
REPORT = {
    "a size that is not the file's": (set_to("artifacts.0.size_bytes", 10), "is another file"),
    "a hash that is not the file's": (set_to("artifacts.0.sha256", "ab" * 32), "is another file"),
    "a size of no file": (set_to("artifacts.0.path", None), "but no file"),
    "a file twice": (lambda r: r["artifacts"].append(r["artifacts"][0]), "onnx/fp16 twice"),
    "other pictures": (set_to("samples.evaluate.pictures", "zz"), "of other images"),
    "no accuracy": (set_to("artifacts.1.accuracy", None), "its report has no accuracy"),
    "an SQNR that cannot be": (set_to("artifacts.1.total.sqnr_db", 1e308), "sqnr_db 1e[+]308 is no figure"),
    "more than all in integers": (
        set_to("artifacts.1.integer_mac_fraction", -3.0),
        "integer_mac_fraction -3.0",
    ),
}
ANSWERS = {
    "no answers of an executed file": (
        lambda a: a["artifacts"].pop(),
        "was executed, but there are no answers",
    ),
    "answers twice": (lambda a: a["artifacts"].append(a["artifacts"][0]), "twice"),
    "answers of a file that is not there": (
        set_to("artifacts.0.target", "nowhere"),
        "which is not in its report",
    ),
    "wrong answers called right": (
        set_to("reference.answer", other(o.pack_indices(np.zeros(N, int)))),
        "counts as right, but is not the label",
    ),
    "right without labels": (set_to("labels", None), "has no labels"),
}
BASELINE = {
    "a ratio of nothing": (
        lambda b: b["files"][0].update(
            latency={**TIMED, "ratio_to_fp32": {"value": 0.0, "ci95": [0.0, 0.0]}}
        ),
        "latency 0.0 is no figure",
    ),
    "an interval turned round": (
        lambda b: b["files"][0].update(
            latency={**TIMED, "ratio_to_fp32": {"value": 1.0, "ci95": [2.0, 1.0]}}
        ),
        r"latency \(2.0, 1.0\)",
    ),
    "a negative size": (set_to("files.0.size_bytes", -1), "size_bytes -1 is no figure"),
    "a share beyond all": (set_to("model.top1", 101.0), "top1 101.0"),
    "other images were read": (set_to("images.names", "00" * 32), "others could be read"),
}


@pytest.mark.parametrize(("change", "says"), REPORT.values(), ids=REPORT)
def test_a_report_that_contradicts_its_bundle(
    baseline: Path, tmp_path: Path, change: Callable[[Document], object], says: str
) -> None:
    bundle = forged(d.write(tmp_path / "new", SHIPPED), report=change)
    with pytest.raises(InputError, match=says):
        held(bundle, baseline)


@pytest.mark.parametrize(("change", "says"), ANSWERS.values(), ids=ANSWERS)
def test_answers_that_contradict_the_report(
    baseline: Path, tmp_path: Path, change: Callable[[Document], object], says: str
) -> None:
    bundle = forged(d.write(tmp_path / "new", SHIPPED), answers=change)
    with pytest.raises(InputError, match=says):
        held(bundle, baseline)


@pytest.mark.parametrize(("change", "says"), BASELINE.values(), ids=BASELINE)
def test_figures_of_a_baseline_that_cannot_be(
    baseline: Path, tmp_path: Path, change: Callable[[Document], object], says: str
) -> None:
    file = tmp_path / "base.json"
    file.write_bytes(baseline.read_bytes())
    damaged(file, change)
    with pytest.raises(InputError, match=says):
        held(d.write(tmp_path / "new", SHIPPED), file)


def test_names_that_would_fill_the_memory(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = d.write(tmp_path / "new", SHIPPED)
    monkeypatch.setattr(o, "_TEXT_BYTES", 50)
    with pytest.raises(InputError, match="more or less data"):
        held(bundle, baseline)
