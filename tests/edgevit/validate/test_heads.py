"""Limits and floors of models with several labelled outputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgevit.core.precisions import Precision
from edgevit.core.results.report import (
    Accuracy,
    ArtifactReport,
    AutoFloat,
    HeadAccuracy,
    Limits,
    Total,
    Verdict,
)
from edgevit.validate.floors import Origin
from edgevit.validate.statistics import drop_bounds
from edgevit.validate.verdict import judge

N = 1000


def accuracy(agreement: float, drop: float | None) -> Accuracy:
    """On 1,000 images, of which as many were lost, and none gained, as the drop says."""
    if drop is None:
        return Accuracy(None, None, None, agreement, N, None, majority=20.0)
    low, high = drop_bounds(round(drop * N / 100), 0, N)
    bounds = (100 * low, 100 * high)
    return Accuracy(80.0, drop, bounds, agreement, N, 1.0, drop_bounds95=bounds, majority=20.0)


def artifact(
    first: Accuracy, *others: tuple[str, Accuracy], sqnr_db: float = 30.0, precision: Precision = Precision.W8
) -> ArtifactReport:
    return ArtifactReport(
        "onnx",
        precision,
        executed_by="a runtime",
        total=Total(sqnr_db, 1.0),
        accuracy=first,
        weight_bytes={"int8": 1},
        heads=tuple(HeadAccuracy(name, 30.0, found) for name, found in others),
        head="kind" if others else "",
    )


def judged(found: ArtifactReport, limits: Limits | None = None) -> tuple[Verdict, str]:
    told, reasons = judge(found, limits or Limits(), Origin(planned=False))
    return told, "; ".join(reasons)


GOOD, BAD, UNLABELLED = accuracy(99.5, 0.1), accuracy(96.0, 3.0), accuracy(99.5, None)


@pytest.mark.parametrize(
    ("first", "age", "limits", "expected", "words"),
    [
        (GOOD, GOOD, Limits(max_drop=1), "pass", ""),
        (GOOD, BAD, Limits(max_drop=1), "fail", "age: top-1 drops by 3.00 points on 1000 images"),
        (BAD, GOOD, Limits(max_drop=1), "fail", "kind: top-1 drops by 3.00 points on 1000 images"),
        (UNLABELLED, BAD, Limits(max_drop=1), "fail", "age: top-1 drops"),
        (UNLABELLED, GOOD, Limits(max_drop=1), "pass", ""),
        (GOOD, UNLABELLED, Limits(max_drop=1), "pass", ""),
        (UNLABELLED, UNLABELLED, Limits(max_drop=1), "inconclusive", "needs labelled images"),
        (GOOD, accuracy(99.0, 0.8), Limits(max_drop=1), "inconclusive", "age: top-1 drops by 0.80"),
        (
            GOOD,
            BAD,
            Limits(min_agreement=99, max_drop=9),
            "fail",
            "age: it agrees with the float model on 96.00 %",
        ),
        (BAD, GOOD, Limits(min_agreement=99, max_drop=9), "fail", "kind: it agrees"),
        (
            GOOD,
            replace(GOOD, majority=99.5),
            Limits(min_agreement=99),
            "inconclusive",
            "age: the agreement shows nothing",
        ),
    ],
)
def test_the_worst_head_decides_and_is_named(
    first: Accuracy, age: Accuracy, limits: Limits, expected: Verdict, words: str
) -> None:
    found, text = judged(artifact(first, ("age", age)), limits)
    assert found == expected and words in text and bool(text) == (expected != "pass")
    assert ("kind:" in text) == words.startswith("kind:")


def test_without_a_limit_each_head_is_held_to_the_floors() -> None:
    assert judged(artifact(GOOD, ("age", GOOD)))[0] == "pass"
    found, text = judged(artifact(GOOD, ("age", accuracy(60.0, 20.0))))
    assert found == "fail" and "age: it agrees" in text and "age: top-1 drops" in text and "kind:" not in text
    # one head that follows its model says nothing for an SQNR that another one may have
    assert judged(artifact(GOOD, ("age", GOOD), sqnr_db=8.0))[0] == "inconclusive"
    assert judged(artifact(GOOD, ("age", accuracy(86.0, None)), sqnr_db=8.0))[0] == "fail"
    # a drop that holds goes before the SQNR only if it is known of every head
    limits = Limits(max_drop=1)
    assert judged(artifact(GOOD, ("age", GOOD), sqnr_db=15.0), limits)[0] == "pass"
    assert (
        judged(artifact(GOOD, ("age", replace(UNLABELLED, agreement=86.0)), sqnr_db=15.0), limits)[0]
        == "inconclusive"
    )


def test_one_head_alone_has_no_name() -> None:
    _, text = judged(artifact(BAD), Limits(max_drop=1, min_agreement=99))
    assert text.startswith("top-1 drops") and "; it agrees" in text


def test_what_to_ask_of_auto_float_is_that_of_the_worst_head() -> None:
    promised = AutoFloat(("--max-drop 1", "--min-agreement 99"), True, 32, 20.0, 30.0, (), 0.1)
    made = replace(artifact(GOOD, ("age", BAD)), auto_float=promised)
    # 99 is to be as far above the new limit as 96 is below it: 100 - 1 * 1 / 4; 1 / 3 of a point of drop
    assert "--min-agreement 99.75 --max-drop 0.33" in judged(made, Limits(max_drop=1, min_agreement=99))[1]
