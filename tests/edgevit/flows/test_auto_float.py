"""How many sites stay in float, which images may say so, and what the plan and its account tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import UsageError
from edgevit.core.outputs import OutputKind
from edgevit.core.results.report import Limits, SiteLoss
from edgevit.core.types import Stats
from edgevit.flows import make_recipe as recipes
from edgevit.program.run import run
from edgevit.quant import plan_file
from edgevit.quant.plan import make_plan
from edgevit.quant.sensitivity import sensitivities
from edgevit.quant.simulate import simulate
from edgevit.steps import messages
from edgevit.steps.planning import auto_float
from edgevit.steps.resolve import resolve
from tests._command import edgevit
from tests.edgevit.flows._tiny import prepared, write_model
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import CHOICES

FOUR = BackendCapabilities(
    "test", "w4", "float32", (OpCapabilities("linear", None, None, "float32", "int4", 8),)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("net"))


@pytest.mark.parametrize("wanted", [None, *range(14)])
def test_the_fewest_are_found_with_few_trials(wanted: int | None) -> None:
    tried: list[int] = []

    def holds(number: int) -> bool:
        tried.append(number)
        return wanted is not None and number >= wanted

    assert auto_float.fewest(holds, 13) == wanted
    assert len(tried) == len(set(tried)) <= 9 and max(tried) <= 13


def test_without_sites_there_is_nothing_to_try() -> None:
    assert auto_float.fewest(lambda number: False, 0) is None
    assert auto_float.fewest(lambda number: True, 0) == 0


@pytest.mark.parametrize("count", [32, 50, 64, 128])
def test_one_image_in_four_but_16_at_least_are_held_out(count: int) -> None:
    rest, held_out = auto_float.hold_out(count, False, Limits(min_sqnr=1))
    assert sorted((*rest, *held_out)) == list(range(count)) and len(held_out) == max(16, count // 4)
    assert np.diff(held_out).max() <= 4  # spread: images come sorted by their class


def test_too_few_images_are_told_with_their_number() -> None:
    with pytest.raises(UsageError, match=r"holds out 16 .* needs 16 others .* there are 31") as raised:
        auto_float.hold_out(31, False, Limits(min_sqnr=1))
    assert "at least 32" in raised.value.hint
    with pytest.raises(UsageError, match="needs labels"):
        auto_float.hold_out(64, False, Limits(max_drop=1))


def test_the_worst_sites_stay_in_float_until_the_limit_holds(model: Path, tmp_path: Path) -> None:
    (plain,) = prepared(model, tmp_path / "plain").simulated
    limit = plain.compression.sqnr_db + 3
    work = tmp_path / "work"
    found = prepared(model, work, auto_float=True, min_sqnr=limit)
    (done,) = found.simulated
    auto = done.auto_float
    assert auto is not None and auto.reached and auto.images == 16
    assert auto.sqnr_before_db < limit <= auto.sqnr_after_db
    assert 0 < len(auto.sites) < len(plain.sensitivity)
    assert [s.sqnr_db for s in auto.sites] == sorted(s.sqnr_db for s in auto.sites)
    assert all(s.sqnr_db <= done.sensitivity[0].sqnr_db for s in auto.sites)
    assert auto.mac_fraction == pytest.approx(sum(s.macs for s in auto.sites) / found.macs)
    (plan,) = plan_file.load(work / messages.PLANS)
    reasons = dict(plan.skipped)
    for site in auto.sites:
        assert reasons[site.site] == f"left in float32 by --auto-float to keep --min-sqnr {limit:g}"
        assert not any(name.startswith(site.site) for name in plan.tensors)
    assert {s.site for s in plan.sites} == {s.site for s in done.sensitivity}
    assert len(plan.sites) + len(auto.sites) == len(plain.sensitivity)
    again = prepared(model, tmp_path / "again", plan=work / messages.PLANS)
    assert again.simulated[0].compression == done.compression  # the plan alone says it all


def test_one_site_less_in_float_misses_the_limit() -> None:
    graph, images = small.vit_graph(), small.images(32)
    plan = make_plan(graph, Stats({}, 0), images, FOUR, CHOICES)
    (costs,) = sensitivities(graph, [plan], images, 0)
    ranked = tuple(SiteLoss(name, costs[name], 1) for name in sorted(costs, key=costs.__getitem__))
    reference = {"logits": run(graph, images)[0][0].numpy()}
    held_out = auto_float.HeldOut(images, reference, None)

    def sqnr(number: int) -> float:
        left = {loss.site for loss in ranked[:number]}
        kept = tuple(site for site in plan.sites if site.site not in left)
        got = simulate(graph, replace(plan, sites=kept), images)[0]
        return small.db(torch.from_numpy(reference["logits"]), got)

    limit = Limits(min_sqnr=sqnr(0) + 5)
    found, told = auto_float.leave_float(
        plan, ranked, graph, held_out, limit, frozenset(), 9, lambda event: None
    )
    number = len(told.sites)
    assert told.reached and 1 < number < len(ranked) and len(found.sites) == len(ranked) - number
    assert sqnr(number) >= sqnr(0) + 5 > sqnr(number - 1)


@pytest.mark.family
def test_for_an_npu_sites_get_16_bits_and_the_report_says_the_share_with_8(
    model: Path, tmp_path: Path
) -> None:
    """Through the command line, with a limit that 8 bits alone miss."""
    settings = (
        *("convert", f"python:{model / 'nets.py'}:Net", "--random-weights", "0", "--image-size", "16"),
        *("--to", "onnx", "--precision", "w8a8", "--calibrate", model / "images.npz"),
        *("--calibration-count", "64", "--option", "onnx.backend=qnn", "--option", "onnx.float_macs=0"),
    )
    done = edgevit(*settings, "--auto-float", "--min-sqnr", "32", "-o", tmp_path / "out", "--json")
    (artifact,) = json.loads(done.stdout)["artifacts"]
    auto = artifact["auto_float"]
    assert auto["reached"] and auto["into"] == "uint16" and auto["sites"]
    assert auto["sqnr_before_db"] < 32 <= auto["sqnr_after_db"]
    assert 0 < artifact["narrow_mac_fraction"] < 1


def test_a_limit_that_no_number_of_sites_reaches_leaves_the_plan_as_it_was(
    model: Path, tmp_path: Path
) -> None:
    found = prepared(model, tmp_path / "a", to="coreml", auto_float=True, min_sqnr=150)
    (done,) = found.simulated
    auto = done.auto_float
    assert auto is not None and not auto.reached and auto.sites == () and auto.mac_fraction == 0
    assert auto.sqnr_before_db < auto.sqnr_after_db < 150  # float16 is the best that is left
    (plan,) = plan_file.load(tmp_path / "a" / messages.PLANS)
    assert len(plan.sites) == len(done.sensitivity) > 5


def test_the_images_to_evaluate_on_are_never_looked_at(model: Path, tmp_path: Path) -> None:
    """Other images to evaluate on, the same plan to the last byte."""
    for name in ("images", "other"):
        prepared(
            model,
            tmp_path / name,
            evaluate=str(model / f"{name}.npz"),
            auto_float=True,
            min_agreement=100,
            min_sqnr=42,
        )
    one, other = (tmp_path / name / messages.PLANS for name in ("images", "other"))
    assert (one / "plan.safetensors").read_bytes() == (other / "plan.safetensors").read_bytes()
    # what else stands there is what each was made with
    plans = [json.loads((folder / "plan.json").read_text())["plans"] for folder in (one, other)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("precision", ["w8", "w8da8", "w4"])
def test_every_planned_precision_can_do_it(model: Path, tmp_path: Path, precision: str) -> None:
    (plain,) = prepared(model, tmp_path / "plain", precision=precision).simulated
    limit = plain.compression.sqnr_db + 4
    (done,) = prepared(model, tmp_path / "w", precision=precision, auto_float=True, min_sqnr=limit).simulated
    assert done.auto_float is not None and done.auto_float.reached and done.auto_float.sites


def test_a_drop_is_held_against_labels_of_the_calibration_images(model: Path, tmp_path: Path) -> None:
    (done,) = prepared(model, tmp_path / "w", auto_float=True, max_drop=100).simulated
    assert done.auto_float is not None and done.auto_float.limits == ("--max-drop 100",)
    assert done.auto_float.reached and done.auto_float.sites == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auto_float": True}, "needs a limit"),
        (
            {"auto_float": True, "min_sqnr": 30, "calibrate": None, "precision": "w8"},
            "needs calibration images",
        ),
        ({"auto_float": True, "min_sqnr": 30, "precision": "fp16"}, "nothing to do"),
        ({"auto_float": True, "min_sqnr": 30, "plan": "."}, "both given"),
    ],
)
def test_what_it_needs_is_told_before_any_work(settings: dict[str, Any], words: str) -> None:
    given = {"model": "timm:vit_tiny_patch16_224", "calibrate": ".", "precision": "w8a8", "to": "onnx"}
    with pytest.raises(UsageError, match=words) as raised:
        resolve(recipes.make({**given, **settings}))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("limits", "right", "holds"),
    [
        (Limits(max_drop=10), 4, False),
        (Limits(max_drop=10), 10, True),
        (Limits(min_agreement=90), 4, False),
        (Limits(min_agreement=90), 10, True),
    ],
)
def test_a_limit_is_held_by_every_head(limits: Limits, right: int, holds: bool) -> None:
    """Two heads on ten images, of which the second answers `right` as the float model and the labels do."""
    scores = np.eye(2, dtype=np.float32)[[0, 1] * 5]
    worse = np.where(np.arange(10)[:, None] < right, scores, 1 - scores)
    labels = scores.argmax(axis=1)
    images = auto_float.HeldOut(
        torch.zeros(10, 3, 4, 4), {"kind": scores, "age": scores}, None, heads={"age": (labels, OutputKind())}
    )
    assert auto_float._holds(images, {"kind": scores, "age": worse}, limits) is holds
