from __future__ import annotations

from dataclasses import replace

import pytest

from edgevit.core.precisions import Precision
from edgevit.core.results.report import Accuracy, ArtifactReport, Limits, Total, Verdict
from edgevit.validate.floors import Origin
from edgevit.validate.statistics import drop_bounds
from edgevit.validate.verdict import judge

FOREIGN = Origin(planned=False)


def accuracy(agreement: float, n: int, drop: float | None = None, majority: float = 20.0) -> Accuracy:
    """With so many images lost and none gained as the drop says."""
    if drop is None:
        return Accuracy(None, None, None, agreement, n, None, majority=majority)
    low, high = drop_bounds(round(drop * n / 100), 0, n)
    bounds = (100 * low, 100 * high)
    return Accuracy(80 - drop, drop, bounds, agreement, n, 1.0, drop_bounds95=bounds, majority=majority)


def verdict(
    sqnr_db: float,
    found: Accuracy | None = None,
    limits: Limits | None = None,
    origin: Origin = FOREIGN,
    variation_db: float | None = None,
) -> tuple[Verdict, str]:
    artifact = ArtifactReport(
        "onnx",
        Precision.W8,
        executed_by="a runtime",
        total=Total(sqnr_db, 1.0, variation_db),
        accuracy=found,
        weight_bytes={"int8": 1},
    )
    told, reasons = judge(artifact, limits or Limits(), origin)
    return told, "; ".join(reasons)


@pytest.mark.parametrize(
    ("sqnr_db", "agreement", "drop", "n", "expected"),
    [  # files of today's tools on trained ViTs, as docs/benchmarks.md and others have them
        (-1.2, 8.0, 83.0, 1000, "fail"),
        (8.0, 75.0, None, 300, "fail"),
        (2.1, 53.5, None, 300, "fail"),
        (10.0, 81.0, 7.8, 1000, "fail"),
        (14.5, 89.7, 3.5, 1000, "inconclusive"),
        (14.0, 91.8, 2.0, 1000, "inconclusive"),
        (16.1, 88.0, None, 300, "inconclusive"),
        (4.7, 96.9, 0.5, 1000, "inconclusive"),
        (19.1, 94.9, 1.2, 1000, "pass"),
        (19.9, 95.8, None, 1000, "pass"),
        (17.4, 98.2, 0.0, 1000, "pass"),
        (26.0, 98.0, 0.3, 300, "pass"),
        (35.0, None, None, 0, "pass"),
        (15.0, None, None, 0, "inconclusive"),
        (9.9, None, None, 0, "fail"),
    ],
)
def test_files_of_unknown_origin(
    sqnr_db: float, agreement: float | None, drop: float | None, n: int, expected: str
) -> None:
    told, reasons = verdict(sqnr_db, None if agreement is None else accuracy(agreement, n, drop))
    assert told == expected, reasons
    assert ("--auto-float" in reasons) == (expected != "pass")


def test_a_file_that_wants_another_input_fails_where_it_would_be_undecided() -> None:
    far = ArtifactReport(
        "onnx", Precision.W8, executed_by="a runtime", total=Total(15.0, 1.0), weight_bytes={"int8": 1}
    )
    assert judge(far, Limits(), FOREIGN)[0] == "inconclusive"
    told, reasons = judge(replace(far, explanation="it wants BGR"), Limits(), FOREIGN)
    assert (told, reasons[0]) == ("fail", "it wants BGR")
    near = replace(far, total=Total(30.0, 1.0), explanation="it wants BGR")
    assert judge(near, Limits(), FOREIGN)[0] == "pass"


def test_few_images_fail_no_file_by_bad_luck() -> None:
    assert verdict(30.0, accuracy(87.5, 8))[0] == "pass"
    assert verdict(30.0, accuracy(25.0, 8))[0] == "fail"


def test_a_file_made_from_its_plan_fails_the_same_but_is_not_left_undecided() -> None:
    planned = Origin()
    for sqnr_db, found, expected in ((2.1, accuracy(53.5, 300), True), (15.0, accuracy(88.0, 300), False)):
        _, reasons = verdict(sqnr_db, found, origin=planned)
        assert ("a quantized file should" in reasons) == expected


def test_of_random_weights_the_sqnr_alone_counts_and_of_a_pruned_model_nothing() -> None:
    assert verdict(25.0, accuracy(30.0, 300), origin=Origin(False, random_weights=True))[0] == "pass"
    assert verdict(5.0, accuracy(99.0, 300), origin=Origin(False, random_weights=True))[0] == "fail"
    assert verdict(5.0, accuracy(30.0, 300), origin=Origin(False, pruned=True))[0] == "pass"


def test_a_limit_takes_the_place_of_the_floor_of_its_measure() -> None:
    assert verdict(6.0, None, Limits(min_sqnr=5))[0] == "pass"
    assert verdict(6.0, accuracy(80.0, 1000), Limits(min_agreement=75))[0] == "fail"
    assert verdict(15.0, accuracy(88.0, 1000), Limits(min_agreement=75, min_sqnr=10))[0] == "pass"


def test_a_drop_that_is_decided_and_holds_goes_before_agreement_and_sqnr() -> None:
    assert verdict(6.0, accuracy(80.0, 1000, 2.0), Limits(max_drop=5)) == ("pass", "")
    told, reasons = verdict(6.0, accuracy(80.0, 100, 2.0), Limits(max_drop=3))
    assert told == "fail" and "too few to decide" in reasons  # undecided: the floors hold
    constant = accuracy(80.0, 1000, 2.0, majority=80.0)
    assert verdict(0.0, constant, Limits(max_drop=5))[0] == "fail"


def test_agreement_that_a_constant_answer_reaches_shows_nothing() -> None:
    for majority, agreement, expected in ((100.0, 100.0, "inconclusive"), (99.2, 99.4, "inconclusive")):
        told, reasons = verdict(30.0, accuracy(agreement, 500, majority=majority), Limits(min_agreement=99))
        assert told == expected and "the agreement shows nothing" in reasons
    assert verdict(30.0, accuracy(99.8, 500, majority=60.0), Limits(min_agreement=50))[0] == "pass"
    assert verdict(30.0, accuracy(40.0, 500, majority=60.0), Limits(min_agreement=50))[0] == "fail"


def test_one_number_is_judged_by_how_it_differs_from_image_to_image() -> None:
    told, reasons = verdict(22.0, variation_db=0.0)
    assert told == "fail" and "0.0 dB of what differs from image to image" in reasons
    assert verdict(30.0, variation_db=24.0)[0] == "pass"
