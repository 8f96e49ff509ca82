"""Nothing passes because nobody looked: what is not there, or changed its kind, is said and closes the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench._gate import drawn as d
from edgevit.core.errors import InputError, UsageError
from edgevit.core.results import outcomes as o
from edgevit.core.settings.gate_policy import make
from edgevit.flows import gate as flow
from edgevit.flows._gate.shipped import open_bundle
from tests.edgevit.flows._gate import closed, forged, held, one

N = 400
SHIPPED = d.a_model(np.random.default_rng(0), N)
Build = Callable[[d.Drawn], Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return lambda drawn: d.write(tmp_path / "new", drawn)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return saved(tmp_path, SHIPPED)


def saved(tmp_path: Path, drawn: d.Drawn) -> Path:
    file = tmp_path / "base.json"
    flow.save_baseline(d.write(tmp_path / "shipped", drawn), file)
    return file


def answers_of(data: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in data["artifacts"] if f"{a['target']}/{a['precision']}" == name)
    return found


def test_a_file_whose_outputs_name_no_classes_any_more_is_no_pass(build: Build, baseline: Path) -> None:
    def to_features(data: dict[str, Any]) -> None:
        decibels = o.pack_floats(np.full(N, 10.0))
        answers_of(data, "onnx/w8a8").update(
            answer=None,
            correct=None,
            top5=None,
            margin=None,
            sqnr_db={"type": decibels.type, "data": decibels.data},
        )

    report = held(forged(build(replace(SHIPPED, content="two")), answers=to_features), baseline)
    check = one(report, "onnx/w8a8 accuracy")
    assert check.outcome == "inconclusive" and "its outputs name no classes" in check.reason
    assert report.exit_code == 4


def test_a_file_of_which_nobody_says_whether_it_is_right_is_no_pass(build: Build, baseline: Path) -> None:
    bundle = forged(build(SHIPPED), answers=lambda data: answers_of(data, "onnx/w8a8").update(correct=None))
    check = one(held(bundle, baseline), "onnx/w8a8 accuracy")
    assert check.outcome == "inconclusive" and "whether its answers are right" in check.reason


def test_a_file_that_was_not_executed_on_one_side_is_told(build: Build, tmp_path: Path) -> None:
    idle = {"coreml/w8": {"executed_by": None, "verdict": "not-executed", "total": None, "accuracy": None}}

    def without(data: dict[str, Any]) -> None:
        data["artifacts"] = [a for a in data["artifacts"] if a["target"] + a["precision"] != "coremlw8"]

    bundle = forged(build(replace(SHIPPED, changed=idle)), answers=without)
    file = saved(tmp_path, SHIPPED)
    report = held(bundle, file)
    assert one(report, "coreml/w8 present").outcome == "inconclusive"
    for kind in ("accuracy", "agreement"):
        check = one(report, f"coreml/w8 {kind}")
        assert check.outcome == "not-compared" and "it was not executed" in check.reason
    flow.update_baseline(open_bundle(bundle), file)
    report = held(d.write(tmp_path / "back", SHIPPED), file)
    assert "the baseline's was not executed" in one(report, "coreml/w8 accuracy").reason
    assert report.exit_code == 0


def test_figures_that_were_measured_and_are_no_more(build: Build, baseline: Path) -> None:
    changed = {"onnx/w8a8": {"total": None, "integer_mac_fraction": None}}
    report = held(build(replace(SHIPPED, changed=changed)), baseline)
    assert closed(report, "inconclusive") == {"onnx/w8a8 sqnr", "onnx/w8a8 integer"}
    assert "the baseline knows its SQNR" in one(report, "onnx/w8a8 sqnr").reason


def test_what_could_not_be_made_before_either_is_no_regression(build: Build, tmp_path: Path) -> None:
    failed = {
        "coreml/w8": {
            "size_bytes": None,
            "path": None,
            "executed_by": None,
            "verdict": "error",
            "total": None,
        }
    }
    never = replace(SHIPPED, changed=failed)
    report = held(build(never), saved(tmp_path, never))
    assert report.exit_code == 0 and one(report, "coreml/w8 present").outcome == "not-compared"


def test_outputs_became_features(build: Build, baseline: Path, tmp_path: Path) -> None:
    """Both ways round it is a change of the interface; accepted, what can be compared still is: the total SQNR."""
    decibels = {name: np.full(N, 30.0) for name in d.SIX}
    features = replace(SHIPPED, labels=None, reference=None, files=decibels, classes=())
    low = {"onnx/w8a8": {"total": None}}
    with pytest.raises(InputError, match="only the baseline's images have labels"):
        held(build(features), baseline)
    bare = saved(tmp_path / "bare", replace(SHIPPED, labels=None))
    rules = make({}, accept=["outputs", "labels"], folder=Path("/"))
    report = held(build(replace(features, changed=low)), bare, rules)
    assert one(report, "onnx/w8a8 sqnr").outcome == "inconclusive"
    assert one(report, "tflite/w8a8 sqnr").outcome == "pass"
    assert "its outputs name no classes" in one(report, "float model accuracy").reason


def test_one_image_of_features_is_held_by_its_total(build: Build, tmp_path: Path) -> None:
    alone = d.Drawn(None, None, {"onnx/w8a8": np.array([30.0])})
    file = saved(tmp_path, alone)
    assert held(build(alone), file).exit_code == 0
    from edgevit.core.results.report import Total

    worse = replace(alone, changed={"onnx/w8a8": {"total": Total(20.0, 1.0)}}, content="two")
    assert closed(held(build(worse), file)) == {"onnx/w8a8 sqnr"}


def test_one_image_of_features_that_gives_nan_is_a_regression(build: Build, tmp_path: Path) -> None:
    """The mean over two thousand hardly moves."""
    before = np.random.default_rng(1).normal(35, 3, 2000)
    now = before.copy()
    now[7] = -200
    file = saved(tmp_path, d.Drawn(None, None, {"onnx/w8a8": before}))
    report = held(build(d.Drawn(None, None, {"onnx/w8a8": now}, content="two")), file)
    check = one(report, "onnx/w8a8 sqnr")
    assert check.outcome == "regressed" and "1 of 2,000 images" in check.reason and "NaN" in check.reason
    # and what was so before is no news
    flow.update_baseline(open_bundle(tmp_path / "new"), file)
    assert held(tmp_path / "new", file).exit_code == 0


@pytest.mark.parametrize(
    ("share", "outcome", "says"),
    [
        (0.0, "pass", "the same answer on all 2,000 images"),
        (0.003, "pass", "even if all of them were right before"),
        (0.3, "inconclusive", "Labels would decide"),
    ],
)
def test_a_float_model_without_labels_is_known_by_how_many_of_its_answers_changed(
    build: Build, tmp_path: Path, share: float, outcome: str, says: str
) -> None:
    """All its files follow it, so that their agreement says nothing."""
    random = np.random.default_rng(3)
    bare = replace(d.a_model(random, 2000), labels=None)
    assert bare.reference is not None
    moved = random.random(2000) < share
    reference = np.where(moved, (bare.reference + 1) % 10, bare.reference)
    files = {name: np.where(moved, reference, found) for name, found in bare.files.items()}
    new = replace(
        bare, reference=reference, files=files, content="two", weights=("bb" if share else "aa") * 32
    )
    report = held(build(new), saved(tmp_path, bare))
    check = one(report, "float model accuracy")
    assert (check.outcome, report.outcome) == (outcome, outcome) and says in check.reason
    assert f"{int(moved.sum())} of 2,000" in check.reason or not share


def test_other_weights_behind_features_are_told(build: Build, tmp_path: Path) -> None:
    drawn = d.Drawn(None, None, {"onnx/w8a8": np.full(50, 30.0)})
    file = saved(tmp_path, drawn)
    assert one(held(build(drawn), file), "float model accuracy").outcome == "pass"
    report = held(build(replace(drawn, weights="bb" * 32)), file)
    assert "the weights are others" in one(report, "float model accuracy").reason


def test_rules_that_touch_nothing_are_told(build: Build, baseline: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'accept = ["labels", "coreml/*"]\n[files."tflte/*"]\nmax_drop = 9\n[files."float model"]\nmax_drop = 2\n'
    )
    report = held(build(SHIPPED), baseline, make({}, file=rules))
    assert sum("'tflte/*', which fits none of" in note for note in report.notes) == 1
    assert not any("'float model'" in note.partition("which fits")[0] for note in report.notes)
    assert sum("is accepted, but nothing of it changed" in note for note in report.notes) == 2
    assert one(report, "float model accuracy").limit == 2


def test_what_counts_as_closed_is_what_the_policy_says(build: Build, tmp_path: Path) -> None:
    few = d.a_model(np.random.default_rng(3), 60)
    file = saved(tmp_path, few)
    build(replace(few, content="two"))
    for word in ("fail", "pass"):
        report = held(tmp_path / "new", file, make({}, on_inconclusive=word, folder=Path("/")))
        assert report.outcome == "inconclusive"
        assert any(map(report.closes, report.checks)) is (word == "fail")


def test_a_link_stays_a_link(build: Build, baseline: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(baseline)
    flow.update_baseline(open_bundle(build(replace(SHIPPED, content="two"))), link)
    assert link.is_symlink() and held(tmp_path / "new", baseline).exit_code == 0
    with pytest.raises(UsageError, match="exists"):
        flow.save_baseline(tmp_path / "new", link)


def test_renamed_classes_flip_nothing(build: Build, baseline: Path) -> None:
    """One name at a place where it stood, the labels' indices as they were; and all names in another order."""
    for classes in (("tabby cat", *SHIPPED.classes[1:]), SHIPPED.classes[::-1]):
        report = held(build(replace(SHIPPED, classes=classes, content="two")), baseline)
        assert closed(report) == {"float model labels"}
        assert all(flips.changed == 0 for flips in report.flips)


def test_classes_that_are_gone_are_not_taken_for_each_other(build: Build, tmp_path: Path) -> None:
    """Nobody agreed on them before, so that nobody can disagree more now."""
    bare = replace(SHIPPED, labels=None)
    assert bare.reference is not None
    files = {
        name: np.where(bare.reference == 8, 9, np.where(bare.reference == 9, 8, bare.reference))
        for name in d.SIX
    }
    old = saved(tmp_path, replace(bare, files=files))
    few = {name: np.minimum(found, 7) for name, found in files.items()}
    new = replace(bare, reference=np.minimum(bare.reference, 7), files=few, classes=SHIPPED.classes[:8])
    check = one(held(build(new), old), "onnx/w8a8 agreement")
    assert check.old == pytest.approx(100 * float((bare.reference < 8).mean())) and check.new == 100
