"""What a team's gate says through the history of a repository; bundles with drawn answers, read as any bundle is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench._gate import drawn as d
from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.gate_policy import make
from edgevit.core.types import TensorSpec
from edgevit.flows import gate as flow
from edgevit.flows._gate.shipped import open_bundle
from tests.edgevit.flows._gate import closed, damaged, held, one, policy

N = 2000
Build = Callable[[d.Drawn], Path]


@pytest.fixture(scope="module")
def shipped() -> d.Drawn:
    return d.a_model(np.random.default_rng(0), N)


@pytest.fixture
def baseline(tmp_path: Path, shipped: d.Drawn) -> Path:
    file = tmp_path / "model.baseline.json"
    flow.save_baseline(d.write(tmp_path / "shipped", shipped), file)
    return file


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return lambda drawn: d.write(tmp_path / "new", drawn)


def worse(answers: d.Answers, shipped: d.Drawn, drop: float, seed: int = 1) -> d.Answers:
    assert shipped.labels is not None
    return d.changed(np.random.default_rng(seed), answers, shipped.labels, drop + 0.002, 0.002)


def test_an_unchanged_rebuild_passes(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    report = held(build(shipped), baseline)
    assert (report.outcome, report.exit_code) == ("pass", 0)
    assert not report.of("regressed") and not report.of("inconclusive")
    assert one(report, "onnx/w8a8 accuracy").reason.startswith("7")  # percent
    assert "byte for byte" in one(report, "onnx/w8a8 accuracy").reason
    report.raise_for_regression()


def test_a_little_noise_in_the_weights_passes(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    random = np.random.default_rng(2)
    assert shipped.labels is not None and shipped.reference is not None
    labels = shipped.labels
    noisy = replace(
        shipped,
        reference=d.changed(random, shipped.reference, labels, 0.004, 0.004),
        files={name: d.changed(random, found, labels, 0.002, 0.002) for name, found in shipped.files.items()},
        content="two",
        weights="bb" * 32,
    )
    report = held(build(noisy), baseline)
    assert (report.outcome, report.exit_code) == ("pass", 0), closed(report) | closed(report, "inconclusive")
    assert any("weights are others" in note for note in report.notes)


def test_worse_weights_are_a_regression_of_the_float_model_and_of_every_file(
    build: Build, baseline: Path, shipped: d.Drawn
) -> None:
    """All of them lose the same images: 3 points, three times what is allowed."""
    assert shipped.labels is not None and shipped.reference is not None
    reference = worse(shipped.reference, shipped, 0.03)
    moved = reference != shipped.reference
    files = {name: np.where(moved, reference, found) for name, found in shipped.files.items()}
    report = held(build(replace(shipped, reference=reference, files=files, content="two")), baseline)
    assert report.exit_code == 1
    assert {f"{name} accuracy" for name in ("float model", *d.SIX)} <= closed(report)
    assert not {name for name in closed(report) if name.endswith("agreement")}
    check = one(report, "onnx/w8a8 accuracy")
    lost = int(
        ((shipped.files["onnx/w8a8"] == shipped.labels) & (files["onnx/w8a8"] != shipped.labels)).sum()
    )
    assert f"{lost} images lost" in check.reason and check.change is not None and check.bounds is not None
    drop = (shipped.files["onnx/w8a8"] == shipped.labels).mean() - (
        files["onnx/w8a8"] == shipped.labels
    ).mean()
    assert check.change == pytest.approx(100 * drop)
    assert check.bounds[0] > 1 and check.bounds[0] < check.change < check.bounds[1]
    with pytest.raises(Exception, match="regressed: float model accuracy"):
        report.raise_for_regression()


def test_a_bad_range_is_a_regression_of_one_file_by_name(
    build: Build, baseline: Path, shipped: d.Drawn
) -> None:
    files = {**shipped.files, "tflite/w8a8": worse(shipped.files["tflite/w8a8"], shipped, 0.05)}
    report = held(build(replace(shipped, files=files, content="two")), baseline)
    assert {check.subject for check in report.of("regressed")} == {"tflite/w8a8"}
    assert {"tflite/w8a8 accuracy", "tflite/w8a8 agreement"} <= closed(report)
    flips = next(found for found in report.flips if found.subject == "tflite/w8a8")
    now, before = files["tflite/w8a8"], shipped.files["tflite/w8a8"]
    assert flips.changed == int((now != before).sum()) and len(report.flips) == 7
    assert [flip.change for flip in flips.worst] == sorted(
        (flip.change for flip in flips.worst), key=["lost", "other", "gained"].index
    )
    first = flips.worst[0]
    assert shipped.labels is not None
    assert first.label == f"class {shipped.labels[first.index]}" and first.new == f"class {now[first.index]}"
    assert first.image == shipped.names[first.index] and first.old == first.label != first.new


def test_a_file_that_lost_its_integers(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    changed = {"onnx/w8a8": {"integer_mac_fraction": 0.4, "size_bytes": 1_600}}
    sites = {"onnx/w8a8": ("blocks.0.attn.qkv", "blocks.1.mlp.fc1")}
    report = held(build(replace(shipped, changed=changed, skipped=sites, content="two")), baseline)
    assert closed(report) == {"onnx/w8a8 integer", "onnx/w8a8 size"}
    integer = one(report, "onnx/w8a8 integer")
    assert (integer.old, integer.new, integer.change) == (
        pytest.approx(90),
        pytest.approx(40),
        pytest.approx(50),
    )
    assert "newly in float: blocks.0.attn.qkv, blocks.1.mlp.fc1" in integer.reason


def test_labels_in_another_order_are_a_change_of_the_interface_alone(
    build: Build, baseline: Path, shipped: d.Drawn
) -> None:
    """The model and the images are the same; only the indices of the classes moved."""
    assert shipped.labels is not None and shipped.reference is not None
    order = np.roll(np.arange(10), 1)
    moved = replace(
        shipped,
        labels=order[shipped.labels],
        reference=order[shipped.reference],
        files={name: order[found] for name, found in shipped.files.items()},
        classes=tuple(shipped.classes[i] for i in np.argsort(order)),
        content="two",
    )
    report = held(build(moved), baseline)
    assert closed(report) == {"float model labels"}
    assert "in another order: 10 of 10" in one(report, "float model labels").reason
    assert all(flips.changed == 0 for flips in report.flips)
    accepted = held(build(moved), baseline, make({}, accept=["labels"], folder=Path("/")))
    assert accepted.exit_code == 0 and one(accepted, "float model labels").accepted


def test_a_target_that_no_longer_converts_is_gone(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    files = {name: found for name, found in shipped.files.items() if not name.startswith("coreml")}
    bundle = build(replace(shipped, files=files))
    report = held(bundle, baseline)
    assert closed(report) == {"coreml/fp16 present", "coreml/w8 present"} and report.exit_code == 1
    rules = make({}, accept=["coreml/*"], folder=Path("/"))
    assert held(bundle, baseline, rules).exit_code == 0
    failed = {"coreml/w8": {"size_bytes": None, "path": None, "executed_by": None, "verdict": "error"}}
    report = held(build(replace(shipped, changed=failed)), baseline)
    assert closed(report) == {"coreml/w8 present"}


def test_few_images_cannot_decide_and_it_is_said_how_many_would(
    build: Build, tmp_path: Path, shipped: d.Drawn
) -> None:
    few = d.a_model(np.random.default_rng(3), 60)
    file = tmp_path / "few.json"
    flow.save_baseline(d.write(tmp_path / "before", few), file)
    assert few.labels is not None
    files = {**few.files, "onnx/w8a8": worse(few.files["onnx/w8a8"], few, 0.03)}
    report = held(build(replace(few, files=files, content="two")), file)
    assert (report.outcome, report.exit_code) == ("inconclusive", 4)
    check = one(report, "onnx/w8a8 accuracy")
    assert check.outcome == "inconclusive" and check.images_needed is not None and check.images_needed > 60
    assert f"about {check.images_needed:,} images would decide, 60 are here" in check.reason
    for word, code in (("fail", 1), ("pass", 0)):
        assert (
            held(tmp_path / "new", file, make({}, on_inconclusive=word, folder=Path("/"))).exit_code == code
        )


def test_another_image_set_cannot_be_compared(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    with pytest.raises(InputError, match="another image set"):
        held(build(replace(shipped, pictures="others")), baseline)
    small = d.a_model(np.random.default_rng(0), 60)
    with pytest.raises(InputError, match=r"2,000 images .* the bundle on 60"):
        held(build(small), baseline)
    assert shipped.labels is not None
    with pytest.raises(InputError, match="their labels are others"):
        held(build(replace(shipped, labels=(shipped.labels + 1) % 10)), baseline)
    with pytest.raises(InputError, match="only the baseline's images have labels"):
        held(build(replace(shipped, labels=None)), baseline)


def test_another_model_is_refused_unless_it_is_meant(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    bundle = build(replace(shipped, model="another"))
    with pytest.raises(InputError, match="of the model drawn, the bundle of another") as error:
        held(bundle, baseline)
    assert "--accept model" in error.value.hint
    assert held(bundle, baseline, make({}, accept=["model"], folder=Path("/"))).exit_code == 0


def test_inputs_outputs_and_what_a_file_requires(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    changed = {
        "onnx/fp16": {"inputs": (TensorSpec("pixels", (1, 3, 8, 8), "float32"),)},
        "onnx/w8a8": {"outputs": (TensorSpec("logits", (1, 10), "int8", 0.1, 3),)},
        "coreml/fp16": {"requires": ("opset ai.onnx 21",)},
        "tflite/fp16": {"requires": ()},  # wanting less harms nobody
    }
    report = held(build(replace(shipped, changed=changed, content="two")), baseline)
    assert closed(report) == {"onnx/fp16 inputs", "onnx/w8a8 outputs", "coreml/fp16 requires"}
    assert "image float32 1x3x8x8 became pixels float32 1x3x8x8" in one(report, "onnx/fp16 inputs").reason
    other = replace(shipped, preprocess=replace(d.PREPROCESS, mean=(0.5, 0.5, 0.5)))
    report = held(build(other), baseline)
    assert closed(report) == {"float model preprocess"}
    assert "mean was" in one(report, "float model preprocess").reason


def test_further_outputs_are_compared_like_the_first(build: Build, tmp_path: Path, shipped: d.Drawn) -> None:
    colour = d.a_model(np.random.default_rng(9), N, 4)
    both = replace(shipped, heads={"colour": colour})
    file = tmp_path / "heads.json"
    flow.save_baseline(d.write(tmp_path / "both", both), file)
    assert held(build(both), file).exit_code == 0
    files = {**colour.files, "onnx/w8a8": worse(colour.files["onnx/w8a8"], colour, 0.05)}
    bad = replace(shipped, heads={"colour": replace(colour, files=files)}, content="two")
    report = held(build(bad), file)
    assert {check.subject for check in report.of("regressed")} == {"onnx/w8a8 output colour"}
    assert {"onnx/w8a8 output colour accuracy", "onnx/w8a8 output colour agreement"} <= closed(report)
    assert colour.labels is not None
    other = replace(shipped, heads={"colour": replace(colour, labels=(colour.labels + 1) % 4)})
    with pytest.raises(InputError, match="labels for colour are others"):
        held(build(other), file)
    assert closed(held(build(shipped), file)) == {"float model output colour outputs"}


def test_a_verdict_that_was_pass_must_stay_one(build: Build, baseline: Path, shipped: d.Drawn) -> None:
    changed = {
        "onnx/fp16": {"verdict": "fail"},
        "onnx/w8a8": {"verdict": "inconclusive"},
        "coreml/w8": {"executed_by": None, "verdict": "not-executed"},
    }
    report = held(build(replace(shipped, changed=changed)), baseline)
    assert closed(report) == {"onnx/fp16 verdict"}
    assert closed(report, "inconclusive") == {"onnx/w8a8 verdict", "coreml/w8 present", "coreml/w8 verdict"}


def test_without_labels_agreement_decides(build: Build, tmp_path: Path, shipped: d.Drawn) -> None:
    bare = replace(shipped, labels=None)
    file = tmp_path / "bare.json"
    flow.save_baseline(d.write(tmp_path / "bare", bare), file)
    files = {**bare.files, "onnx/w8a8": worse(bare.files["onnx/w8a8"], shipped, 0.06)}
    report = held(build(replace(bare, files=files, content="two")), file)
    assert closed(report) == {"onnx/w8a8 agreement"}
    assert one(report, "onnx/w8a8 accuracy").outcome == "not-compared"
    flips = next(found for found in report.flips if found.subject == "onnx/w8a8")
    assert flips.share_ci95[0] < flips.share_pct < flips.share_ci95[1] and flips.worst[0].label is None
    floor = held(build(bare), file, policy(min_agreement=99))
    assert {"onnx/w8a8 minimum agreement", "tflite/fp16 minimum agreement"} <= closed(floor) | closed(
        floor, "inconclusive"
    )


def test_outputs_without_classes_are_judged_by_the_sqnr_of_each_image(build: Build, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    decibels = {name: random.normal(35, 3, 500) for name in ("onnx/w8a8", "onnx/fp16")}
    before = d.Drawn(None, None, decibels)
    file = tmp_path / "features.json"
    flow.save_baseline(d.write(tmp_path / "before", before), file)
    same = {name: found + random.normal(0, 1, 500) for name, found in decibels.items()}
    assert held(build(replace(before, files=same, content="two")), file).exit_code == 0
    report = held(build(replace(before, files={**same, "onnx/w8a8": same["onnx/w8a8"] - 4})), file)
    assert closed(report) == {"onnx/w8a8 sqnr"}
    assert one(report, "onnx/w8a8 sqnr").change == pytest.approx(4, abs=0.3)


def test_a_regression_that_sits_in_one_folder_is_named(
    build: Build, baseline: Path, shipped: d.Drawn
) -> None:
    """A quarter of one class in ten goes wrong: 0.6 points of the whole, within the limit."""
    assert shipped.labels is not None
    random = np.random.default_rng(7)
    answers = shipped.files["onnx/w8a8"].copy()
    victims = (shipped.labels == 3) & (random.random(N) < 0.3)
    answers[victims] = 4
    files = {**shipped.files, "onnx/w8a8": answers}
    report = held(
        build(replace(shipped, files=files, content="two")),
        baseline,
        policy(max_drop=3, max_agreement_loss="off"),
    )
    assert closed(report) == {"onnx/w8a8 slice class 'class 3'"}
    found = one(report, "onnx/w8a8 slice class 'class 3'")
    assert "the class 'class 3' fell from" in found.reason and "confirmed on the other" in found.reason
    assert found.n == int((shipped.labels == 3).sum())


def test_limits_for_some_files_come_from_the_policy(
    build: Build, baseline: Path, shipped: d.Drawn, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'max_size_growth = 1\n[files."tflite/*"]\nmax_size_growth = 30\n[files."*/w8"]\nmax_size_growth = "off"\n'
    )
    grown = {name: {"size_bytes": 1_200} for name in d.SIX}
    report = held(build(replace(shipped, changed=grown)), baseline, make({}, file=rules))
    assert closed(report) == {f"{name} size" for name in ("onnx/fp16", "onnx/w8a8", "coreml/fp16")}
    assert one(report, "coreml/w8 size").outcome == "not-compared"
    assert one(report, "tflite/w8a8 size").outcome == "pass"


def test_updating_and_saving(build: Build, baseline: Path, shipped: d.Drawn, tmp_path: Path) -> None:
    files = {**shipped.files, "tflite/w8a8": worse(shipped.files["tflite/w8a8"], shipped, 0.05)}
    bundle = build(replace(shipped, files=files, content="two"))
    with pytest.raises(UsageError, match="exists"):
        flow.save_baseline(bundle, baseline)
    assert held(bundle, baseline).exit_code == 1
    flow.update_baseline(open_bundle(bundle), baseline)
    report = held(bundle, baseline)
    assert report.exit_code == 0 and report.bundle.top1 == report.baseline.top1
    again = tmp_path / "again.json"
    flow.save_baseline(bundle, again)
    assert again.read_bytes() == baseline.read_bytes()  # the same bundle, the same bytes
    with pytest.raises(UsageError, match="is a bundle"):
        flow.update_baseline(open_bundle(bundle), bundle)


def test_ten_thousand_images_and_six_files_fit_into_a_small_file(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    big = d.a_model(random, 10_000, 1000)
    shuffled = random.permutation(10_000)  # labels in no order, the worst that a .npz can hold
    assert big.labels is not None and big.reference is not None
    big = replace(
        big,
        labels=big.labels[shuffled],
        reference=big.reference[shuffled],
        files={name: found[shuffled] for name, found in big.files.items()},
        skipped={name: tuple(f"blocks.{i}.attn.qkv" for i in range(40)) for name in d.SIX},
    )
    file = tmp_path / "big.json"
    flow.save_baseline(d.write(tmp_path / "big", big), file)
    assert file.stat().st_size <= 100_000
    head = file.read_text().splitlines()[:20]
    assert any('"top1"' in line for line in head) and all(len(line) < 200 for line in head)
    features = d.Drawn(None, None, {name: random.normal(35, 6, 10_000) for name in d.SIX})
    flow.save_baseline(d.write(tmp_path / "big", features), tmp_path / "features.json")
    assert (tmp_path / "features.json").stat().st_size <= 100_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b.update(schema_version=1), "schema_version 1"),
        (lambda b: b.update(kind="another"), "no baseline"),
        (lambda b: b["images"].update(count=10**12), "1000000000000 images"),
        (lambda b: b["images"].update(count=3), "3 images|more or less data"),
        (lambda b: b["files"].append(b["files"][0]), "coreml/fp16 twice"),
        (lambda b: b["packed"]["reference"]["answer"].update(data="AAAA"), "no compressed data"),
        (lambda b: b["packed"]["reference"]["answer"].update(type="text"), "answer holds text"),
        (
            lambda b: b["packed"]["reference"].update(correct=b["packed"]["reference"]["answer"]),
            "correct holds uint8",
        ),
        (lambda b: b["packed"]["files"][0].update(target="nowhere"), "does not list"),
        (lambda b: b["files"][0].pop("size_bytes"), "size_bytes is missing"),
        (lambda b: b.pop("model"), "model is missing"),
    ],
)
def test_a_damaged_baseline_is_one_clear_error(
    build: Build, baseline: Path, shipped: d.Drawn, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    damaged(baseline, change)
    with pytest.raises(InputError, match=says):
        held(build(shipped), baseline)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kind": NaN}', '{"kind": 1, "kind": 2}', "[" * 100_000, "\xff"]
)
def test_a_baseline_that_is_none_is_one_clear_error(
    build: Build, tmp_path: Path, shipped: d.Drawn, text: str
) -> None:
    file = tmp_path / "other.json"
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError):
        held(build(shipped), file)


def test_bundles_that_do_not_fit_together(
    build: Build, baseline: Path, shipped: d.Drawn, tmp_path: Path
) -> None:
    def again(change: Callable[[Path], object]) -> str:
        bundle = build(shipped)
        change(bundle)
        with pytest.raises(InputError) as error:
            held(bundle, baseline)
        return error.value.message

    def report(bundle: Path, **changes: object) -> None:
        """As a hostile hand would: with a manifest that holds."""
        damaged(bundle / "report.json", lambda data: data.update(changes))
        d.seal(bundle)

    assert "was changed after it was made" in again(lambda b: (b / "onnx/fp16/model.onnx").write_text("else"))
    assert "no answers of images" in again(lambda b: report(b, outcomes=None))
    outside = {"path": "../outcomes.json", "sha256": ""}
    assert "'../outcomes.json'" in again(lambda b: report(b, outcomes=outside))
    assert "its hash differs" in again(lambda b: report(b, outcomes={**outside, "path": "outcomes.json"}))
    assert "schema_version 1" in again(lambda b: report(b, schema_version=1))
    reference = {"top1": 12.0, "top5": None, "n": N}
    assert "its report says 12.00 %" in again(lambda b: report(b, reference=reference))
    for place, says in ((tmp_path / "nowhere", "does not exist"), (baseline, "is a file")):
        with pytest.raises(InputError, match=says):
            held(place, baseline)


def test_files_of_an_earlier_bundle_are_timed_beside_the_new_ones(
    build: Build, tmp_path: Path, shipped: d.Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both bundles, those that changed; what the timing says is what the check says."""
    from edgevit.core.results.report import Ratio
    from edgevit.flows._gate.time_pairs import TimedPair

    asked = {}

    def timing(pairs: Any, limits: Any, recipe: Any, progress: Any) -> dict[str, TimedPair]:
        asked.update(pairs)
        assert limits["onnx/w8a8"] == 7
        slow = TimedPair("regressed", "1.3 times as long", Ratio(1.3, (1.25, 1.35)), 10.0, 13.0)
        return {name: slow if name == "onnx/w8a8" else TimedPair("pass", "same bytes") for name in pairs}

    monkeypatch.setattr(flow, "time_pairs", timing)
    old = d.write(tmp_path / "old", shipped)
    report = held(build(replace(shipped, content="two")), old, policy(max_latency_regression=7))
    assert set(asked) == set(d.SIX) and asked["onnx/w8a8"].old.is_relative_to(old)
    check = one(report, "onnx/w8a8 latency")
    assert (
        check.outcome == "regressed"
        and check.change == pytest.approx(30)
        and check.bounds == pytest.approx((25, 35))
    )
    assert {(p.side, p.latency_ms) for p in report.points if p.subject == "onnx/w8a8"} == {
        ("old", 10),
        ("new", 13),
    }


def test_the_same_array_elsewhere_is_the_same_images(build: Build, tmp_path: Path, shipped: d.Drawn) -> None:
    """Names of its images begin with its path; those of folders do not."""
    file = tmp_path / "array.json"
    here = replace(shipped, names=tuple(f"photos/val[{i}]" for i in range(N)))
    flow.save_baseline(d.write(tmp_path / "array", here), file)
    there = replace(
        shipped, names=tuple(f"/elsewhere/val.npz[{i}]" for i in range(N)), path="/elsewhere/val.npz"
    )
    assert held(build(there), file).exit_code == 0
